import {
  ClosedProject,
  type CreateProjectRequest,
  OpenedProject,
  ProjectList,
  ProjectSnapshotList,
  type RestoredFrom,
  type SaveProjectRequest,
  Project as WireProject,
  ProjectSnapshot as WireProjectSnapshot,
} from '@dormouse/contracts';
import { DormouseError, isErrorCode } from '@dormouse/errors';
import { type CamelKeys, toCamelKeys, toSnakeKeys } from './case.js';
import { type CallOptions, CREATE_TIMEOUT_MS } from './client-options.js';
import { eachItem } from './paging.js';
import { Sandbox } from './sandbox.js';
import type { AnswerSchema, Transport } from './transport.js';

/** A workspace that always comes back. */
export type ProjectInfo = CamelKeys<WireProject>;

/** A moment of a project that was kept. */
export type ProjectSnapshotInfo = CamelKeys<WireProjectSnapshot>;

/** What a new project is to be; all but its name has a default. */
export type CreateProjectOptions = CamelKeys<CreateProjectRequest>;

/** What to remember about a moment. */
export type SaveOptions = CallOptions & CamelKeys<SaveProjectRequest>;

/** A project with a sandbox that runs. */
export interface OpenProject {
  readonly project: ProjectInfo;
  /** Leaving an `await using` scope does not delete it: closing the project does. */
  readonly sandbox: Sandbox;
  /** `live`: the sandbox it had; `snapshot`: one that began with a kept moment; `template`: one that began with that. */
  readonly restoredFrom: RestoredFrom;
  /** The moment it began with; null unless `restoredFrom` is `snapshot`. */
  readonly snapshotId: string | null;
  /** Why it is not where it was; null: it is, or there was nothing of it yet. */
  readonly restoreError: DormouseError | null;
}

/** A project without a sandbox. */
export interface ClosedProjectInfo {
  readonly project: ProjectInfo;
  /** What was kept of it; null: it was closed already. */
  readonly snapshot: ProjectSnapshotInfo | null;
}

/** The projects of a team. Wherever an id is asked for, the name of the project does as well. */
export class Projects {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Makes a project, which has no sandbox before it is opened. */
  async create(create: CreateProjectOptions, options: CallOptions = {}): Promise<ProjectInfo> {
    const request = { ...options, method: 'POST', path: '/v1/projects', json: toSnakeKeys(create) } as const;
    return toCamelKeys(await this.#transport.json(request, WireProject));
  }

  /** Newest first. */
  list(options: CallOptions = {}): AsyncGenerator<ProjectInfo, void, undefined> {
    return eachItem(async (cursor) => {
      const request = { ...options, method: 'GET', path: '/v1/projects', query: { cursor } } as const;
      const page = await this.#transport.json(request, ProjectList);
      return { items: page.projects.map(toCamelKeys), nextCursor: page.next_cursor };
    });
  }

  async get(id: string, options: CallOptions = {}): Promise<ProjectInfo> {
    const request = { ...options, method: 'GET', path: projectPath(id) } as const;
    return toCamelKeys(await this.#transport.json(request, WireProject));
  }

  /** Deletes a project with its sandbox and all its moments. */
  async delete(id: string, options: CallOptions = {}): Promise<void> {
    await this.#transport.send({
      timeoutMs: CREATE_TIMEOUT_MS,
      ...options,
      method: 'DELETE',
      path: projectPath(id),
    });
  }

  /**
   * Opens it as it was left, and answers when its sandbox takes commands: the one it has, else one that begins with
   * its newest moment, else one of its template. Asking twice, or many at once, is asking once.
   */
  async open(id: string, options: CallOptions = {}): Promise<OpenProject> {
    return this.#opened(await this.#change(id, 'open', OpenedProject, options, { idempotent: true }));
  }

  /** Keeps its present moment; it goes on as it was. One without a description goes when enough newer ones are there. */
  async save(id: string, options: SaveOptions = {}): Promise<ProjectSnapshotInfo> {
    const { description, metadata, ...call } = options;
    const json = toSnakeKeys({ description, metadata });
    return toCamelKeys(await this.#change(id, 'save', WireProjectSnapshot, call, { json }));
  }

  /** Its kept moments, newest first. */
  snapshots(id: string, options: CallOptions = {}): AsyncGenerator<ProjectSnapshotInfo, void, undefined> {
    return eachItem(async (cursor) => {
      const path = `${projectPath(id)}/snapshots`;
      const request = { ...options, method: 'GET', path, query: { cursor } } as const;
      const page = await this.#transport.json(request, ProjectSnapshotList);
      return { items: page.snapshots.map(toCamelKeys), nextCursor: page.next_cursor };
    });
  }

  /** Opens it where a moment was kept. Where it is open, its present moment is kept first. */
  async restore(id: string, snapshotId: string, options: CallOptions = {}): Promise<OpenProject> {
    const json = toSnakeKeys({ snapshotId });
    return this.#opened(await this.#change(id, 'restore', OpenedProject, options, { json }));
  }

  /**
   * Keeps its present moment and frees its sandbox. Asking twice closes once; the second answer has no snapshot.
   *
   * @throws DormouseError when the moment could not be kept; it stays open then
   */
  async close(id: string, options: CallOptions = {}): Promise<ClosedProjectInfo> {
    const closed = await this.#change(id, 'close', ClosedProject, options, { idempotent: true });
    return {
      project: toCamelKeys(closed.project),
      snapshot: closed.snapshot === null ? null : toCamelKeys(closed.snapshot),
    };
  }

  #change<T>(
    id: string,
    verb: 'open' | 'save' | 'restore' | 'close',
    schema: AnswerSchema<T>,
    { signal, timeoutMs = CREATE_TIMEOUT_MS }: CallOptions,
    how: { readonly json?: object; readonly idempotent?: boolean },
  ): Promise<T> {
    const request = {
      signal,
      timeoutMs,
      method: 'POST',
      path: `${projectPath(id)}/${verb}`,
      ...how,
    } as const;
    return this.#transport.json(request, schema);
  }

  #opened(opened: OpenedProject): OpenProject {
    const { project, sandbox, restored_from, snapshot_id, restore_error } = opened;
    return {
      project: toCamelKeys(project),
      sandbox: new Sandbox(this.#transport, toCamelKeys(sandbox), false),
      restoredFrom: restored_from,
      snapshotId: snapshot_id,
      restoreError: restore_error === null ? null : toError(restore_error),
    };
  }
}

function projectPath(id: string): string {
  return `/v1/projects/${encodeURIComponent(id)}`;
}

function toError({ code, message }: { readonly code: string; readonly message: string }): DormouseError {
  return new DormouseError(isErrorCode(code) ? code : 'internal', message);
}
