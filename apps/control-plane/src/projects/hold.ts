import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import type { ProjectChanges, ProjectRecord, TeamScope } from '@dormouse/store';
import type { Services } from '../context.js';
import { noSuchProject } from './find.js';

/** How long a control plane that has died is still believed to be at work. */
const LEASE_MS = 30_000;

/** How often one that lives says so: twice may be missed. */
const RENEW_EVERY_MS = 10_000;

/** How long to wait for what another control plane does with a project. */
const WAIT_MS = 120_000;

/** How often to look: nobody tells when another process is done. */
const LOOK_EVERY_MS = 100;

/** A project of which nobody else changes the life meanwhile, in this process or another. */
export class Hold {
  readonly team: TeamScope;
  readonly #token: string;
  #project: ProjectRecord;

  constructor(team: TeamScope, project: ProjectRecord, token: string) {
    this.team = team;
    this.#project = project;
    this.#token = token;
  }

  /** As it was read or changed last. */
  get project(): ProjectRecord {
    return this.#project;
  }

  /**
   * Changes the project, if it is still held: whoever was away so long that another has taken over changes nothing.
   *
   * @throws DormouseError `invalid_state`
   */
  async change(changes: ProjectChanges): Promise<ProjectRecord> {
    const changed = await this.team.projects.change(this.#project.id, this.#token, changes);
    return this.#take(changed);
  }

  /**
   * Reads the project again. After a change that threw the project may have been changed all the same.
   *
   * @throws DormouseError `invalid_state`
   */
  async refresh(): Promise<ProjectRecord> {
    return this.#take(await this.team.projects.held(this.#project.id, this.#token));
  }

  #take(project: ProjectRecord | undefined): ProjectRecord {
    if (project === undefined) {
      throw new DormouseError(
        'invalid_state',
        `another control plane has taken over the project ${this.#project.id}`,
        { suggestion: 'Try again.' },
      );
    }
    this.#project = project;
    return project;
  }

  /** Forgets the project for good. */
  async remove(): Promise<void> {
    await this.team.projects.remove(this.#project.id, this.#token);
  }
}

/**
 * Does what changes the life of a project while nobody else does, waiting for them before. A control plane that dies
 * with it is no obstacle for longer than its lease.
 *
 * @throws DormouseError `not_found`; `invalid_state` when another process is at it for too long
 */
export async function holdProject<Result>(
  services: Services,
  team: TeamScope,
  id: string,
  work: (hold: Hold) => Promise<Result>,
): Promise<Result> {
  const until = performance.now() + WAIT_MS;
  for (;;) {
    const done = await tryHolding(services, team, id, async (hold) => {
      if (hold.project.deleted_at !== null) throw noSuchProject(id);
      return { result: await work(hold) };
    });
    if (done !== undefined) return done.result;
    if ((await team.projects.get(id)) === undefined) throw noSuchProject(id);
    if (performance.now() > until) {
      throw new DormouseError('invalid_state', `the project ${id} has been busy for too long`, {
        suggestion: 'Somebody else opens, saves, restores or closes it. Try again in a while.',
      });
    }
    await wait(LOOK_EVERY_MS);
  }
}

/**
 * The same, also for a project that is to go, but without waiting.
 *
 * @returns undefined when somebody else is at it
 */
export async function tryHolding<Result>(
  { log }: Services,
  team: TeamScope,
  id: string,
  work: (hold: Hold) => Promise<Result>,
): Promise<Result | undefined> {
  const lease = { token: randomUUID(), ms: LEASE_MS };
  const project = await team.projects.claim(id, lease);
  if (project === undefined) return undefined;
  const failed = (err: unknown): void =>
    log.warn({ err, projectId: id }, 'the lease of a project is not kept');
  const renewing = setInterval(() => void team.projects.renew(id, lease).catch(failed), RENEW_EVERY_MS);
  try {
    return await work(new Hold(team, project, lease.token));
  } finally {
    clearInterval(renewing);
    await team.projects.release(id, lease.token).catch(failed);
  }
}
