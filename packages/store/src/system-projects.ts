import { type Kysely, sql } from 'kysely';
import type { UnfinishedProject } from './project-record.js';
import type { Database } from './schema.js';

/** The projects of all teams, for repairing what a crash has left. */
export class SystemProjects {
  readonly #db: Kysely<Database>;

  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  /** Projects with work in them that was begun and not finished, and that nobody is at any more. */
  async unfinished(): Promise<UnfinishedProject[]> {
    return this.#db
      .selectFrom('projects')
      .select(['id', 'team_id as teamId'])
      .where((where) =>
        where.or([
          where('pending_save_id', 'is not', null),
          where('next_sandbox_id', 'is not', null),
          where('restoring_id', 'is not', null),
          where('leaving_sandbox_id', 'is not', null),
          where('deleted_at', 'is not', null),
        ]),
      )
      .where((where) => where.or([where('lease', 'is', null), where('lease_until', '<', sql<Date>`now()`)]))
      .orderBy('created_at')
      .execute();
  }

  /** Forgets moments that have no snapshot (any more), unless one is being taken. */
  async sweepSaves(): Promise<void> {
    await sql`
      delete from project_saves save
        where not exists (
            select from snapshots where snapshots.id = save.id and snapshots.state in ('creating', 'ready'))
          and not exists (select from projects where projects.pending_save_id = save.id)`.execute(this.#db);
  }
}
