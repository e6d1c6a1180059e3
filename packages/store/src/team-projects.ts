import { DormouseError } from '@dormouse/errors';
import { type Kysely, type SelectQueryBuilder, sql } from 'kysely';
import { cutPage, decodeCursor, type Page, type PageRequest } from './cursor.js';
import {
  type NewProject,
  PROJECT_COLUMNS,
  type ProjectChanges,
  type ProjectRecord,
} from './project-record.js';
import type { Database } from './schema.js';

/** Who is changing a project, as long as the database's clock says so. */
interface Lease {
  readonly token: string;
  readonly ms: number;
}

/** The projects of one team. What changes the life of one is done by whoever holds its lease. */
export class TeamProjects {
  readonly #db: Kysely<Database>;
  readonly #teamId: string;

  constructor(db: Kysely<Database>, teamId: string) {
    this.#db = db;
    this.#teamId = teamId;
  }

  /** A project by its name or its id, or undefined: not there, another team's and deleted are the same. */
  async get(nameOrId: string): Promise<ProjectRecord | undefined> {
    return this.#all()
      .where('projects.deleted_at', 'is', null)
      .where((where) =>
        where.or([where('projects.name', '=', nameOrId), where('projects.id', '=', nameOrId)]),
      )
      .executeTakeFirst();
  }

  /** What sandboxes of a project have in their environment. */
  async envsOf(id: string): Promise<Readonly<Record<string, string>>> {
    const row = await this.#db
      .selectFrom('projects')
      .select('envs')
      .where('team_id', '=', this.#teamId)
      .where('id', '=', id)
      .executeTakeFirst();
    return row?.envs ?? {};
  }

  /** Newest first. */
  async list(page: PageRequest): Promise<Page<ProjectRecord>> {
    let query = this.#all()
      .where('projects.deleted_at', 'is', null)
      .orderBy('projects.created_at', 'desc')
      .orderBy('projects.id', 'desc')
      .limit(page.limit + 1);
    if (page.cursor !== undefined) {
      const { createdAt, id } = decodeCursor(page.cursor);
      query = query.where(sql<boolean>`(projects.created_at, projects.id) < (${createdAt}, ${id})`);
    }
    return cutPage(await query.execute(), page.limit);
  }

  /** @throws DormouseError `already_exists` */
  async insert(project: NewProject): Promise<ProjectRecord> {
    const inserted = await this.#db
      .insertInto('projects')
      .values({
        id: project.id,
        team_id: this.#teamId,
        name: project.name,
        template: project.template,
        keep_last: project.keepLast,
        workspace: project.workspace,
        vcpus: project.vcpus,
        memory_mb: project.memoryMb,
        timeout_sec: project.timeoutSec,
        internet: project.internet,
        envs: JSON.stringify(project.envs),
        metadata: JSON.stringify(project.metadata),
      })
      .onConflict((conflict) => conflict.doNothing())
      .returning(PROJECT_COLUMNS)
      .executeTakeFirst();
    if (inserted !== undefined) return { ...inserted, sandbox_state: null };
    throw new DormouseError('already_exists', `there is a project ${project.name} already`, {
      suggestion: 'Choose another name.',
    });
  }

  /**
   * Takes the lease of a project, deleted or not, that nobody holds.
   *
   * @returns undefined when somebody does, or there is no such project
   */
  async claim(id: string, { token, ms }: Lease): Promise<ProjectRecord | undefined> {
    const claimed = await this.#db
      .updateTable('projects')
      .set({ lease: token, lease_until: until(ms) })
      .where('team_id', '=', this.#teamId)
      .where('id', '=', id)
      .where((where) => where.or([where('lease', 'is', null), where('lease_until', '<', sql<Date>`now()`)]))
      .returning('id')
      .executeTakeFirst();
    return claimed === undefined ? undefined : this.#one(id);
  }

  /** A project, deleted or not, whose lease is the asker's; undefined when it is another's by now. */
  async held(id: string, token: string): Promise<ProjectRecord | undefined> {
    return this.#all().where('projects.id', '=', id).where('projects.lease', '=', token).executeTakeFirst();
  }

  /** Makes a lease last longer. Whether it was still held. */
  async renew(id: string, { token, ms }: Lease): Promise<boolean> {
    const result = await this.#db
      .updateTable('projects')
      .set({ lease_until: until(ms) })
      .where('team_id', '=', this.#teamId)
      .where('id', '=', id)
      .where('lease', '=', token)
      .executeTakeFirst();
    return result.numUpdatedRows > 0n;
  }

  /** Gives a lease back. */
  async release(id: string, token: string): Promise<void> {
    await this.#db
      .updateTable('projects')
      .set({ lease: null, lease_until: null })
      .where('team_id', '=', this.#teamId)
      .where('id', '=', id)
      .where('lease', '=', token)
      .execute();
  }

  /** Changes a project; undefined when the lease is another's by now. */
  async change(id: string, token: string, changes: ProjectChanges): Promise<ProjectRecord | undefined> {
    const now = sql<Date>`now()`;
    const changed = await this.#db
      .updateTable('projects')
      .set({
        lease: token,
        ...(changes.sandboxId === undefined ? {} : { sandbox_id: changes.sandboxId }),
        ...(changes.nextSandboxId === undefined ? {} : { next_sandbox_id: changes.nextSandboxId }),
        ...(changes.headId === undefined ? {} : { head_id: changes.headId }),
        ...(changes.pendingSaveId === undefined ? {} : { pending_save_id: changes.pendingSaveId }),
        ...(changes.closingGeneration === undefined ? {} : { closing_generation: changes.closingGeneration }),
        ...(changes.restoringId === undefined ? {} : { restoring_id: changes.restoringId }),
        ...(changes.leaving === undefined
          ? {}
          : {
              leaving_sandbox_id: changes.leaving?.sandboxId ?? null,
              leaving_generation: changes.leaving?.generation ?? null,
            }),
        ...(changes.opened ? { opened_at: now } : {}),
        ...(changes.saved ? { saved_at: now } : {}),
        ...(changes.deleted ? { deleted_at: sql<Date>`coalesce(deleted_at, now())` } : {}),
      })
      .where('team_id', '=', this.#teamId)
      .where('id', '=', id)
      .where('lease', '=', token)
      .returning('id')
      .executeTakeFirst();
    return changed === undefined ? undefined : this.#one(id);
  }

  /** Forgets a project, and what its moments were, for good. */
  async remove(id: string, token: string): Promise<void> {
    await this.#db
      .deleteFrom('projects')
      .where('team_id', '=', this.#teamId)
      .where('id', '=', id)
      .where('lease', '=', token)
      .execute();
  }

  #one(id: string): Promise<ProjectRecord | undefined> {
    return this.#all().where('projects.id', '=', id).executeTakeFirst();
  }

  #all(): SelectQueryBuilder<Database, 'projects', ProjectRecord> {
    return this.#db
      .selectFrom('projects')
      .select(PROJECT_COLUMNS.map((column) => `projects.${column}` as const))
      .select((select) =>
        select
          .selectFrom('sandboxes')
          .select('sandboxes.state')
          .whereRef('sandboxes.id', '=', 'projects.sandbox_id')
          .whereRef('sandboxes.team_id', '=', 'projects.team_id')
          .as('sandbox_state'),
      )
      .where('projects.team_id', '=', this.#teamId);
  }
}

function until(ms: number): ReturnType<typeof sql<Date>> {
  return sql<Date>`now() + make_interval(secs => ${ms / 1000})`;
}
