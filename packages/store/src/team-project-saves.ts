import { type Kysely, type SelectQueryBuilder, sql } from 'kysely';
import { cutPage, decodeCursor, type Page, type PageRequest } from './cursor.js';
import type { NewSave, SaveRecord } from './project-record.js';
import type { Database, SnapshotState } from './schema.js';

/** The kept moments of the projects of one team. Only those whose snapshots are ready are there for it. */
export class TeamProjectSaves {
  readonly #db: Kysely<Database>;
  readonly #teamId: string;

  constructor(db: Kysely<Database>, teamId: string) {
    this.#db = db;
    this.#teamId = teamId;
  }

  async get(projectId: string, id: string): Promise<SaveRecord | undefined> {
    return this.#ready(projectId).where('project_saves.id', '=', id).executeTakeFirst();
  }

  /** The newest of a project. */
  async newest(projectId: string): Promise<SaveRecord | undefined> {
    return this.#newestFirst(projectId).limit(1).executeTakeFirst();
  }

  /** All of a project, newest first. */
  async all(projectId: string): Promise<SaveRecord[]> {
    return this.#newestFirst(projectId).execute();
  }

  /** Newest first. */
  async list(projectId: string, page: PageRequest): Promise<Page<SaveRecord>> {
    let query = this.#newestFirst(projectId).limit(page.limit + 1);
    if (page.cursor !== undefined) {
      const { createdAt, id } = decodeCursor(page.cursor);
      query = query.where(sql<boolean>`(project_saves.created_at, project_saves.id) < (${createdAt}, ${id})`);
    }
    return cutPage(await query.execute(), page.limit);
  }

  /** Records that the snapshot of this id, which need not exist yet, is a moment of the project. */
  async insert(save: NewSave): Promise<SaveRecord> {
    return this.#db
      .insertInto('project_saves')
      .values({
        id: save.id,
        team_id: this.#teamId,
        project_id: save.projectId,
        description: save.description,
        file_count: save.fileCount,
        size_bytes: save.sizeBytes,
        metadata: JSON.stringify(save.metadata),
      })
      .returningAll()
      .executeTakeFirstOrThrow();
  }

  /** Keeps a moment from retention, or no longer. */
  async pin(id: string, pinned: boolean): Promise<void> {
    await this.#db
      .updateTable('project_saves')
      .set({ pinned })
      .where('team_id', '=', this.#teamId)
      .where('id', '=', id)
      .execute();
  }

  /** Forgets what a moment was; its snapshot is another matter. */
  async remove(id: string): Promise<void> {
    await this.#db
      .deleteFrom('project_saves')
      .where('team_id', '=', this.#teamId)
      .where('id', '=', id)
      .execute();
  }

  /** How far the snapshot of a moment is; undefined: there is none. */
  async stateOf(id: string): Promise<SnapshotState | undefined> {
    const row = await this.#db
      .selectFrom('snapshots')
      .select('state')
      .where('team_id', '=', this.#teamId)
      .where('id', '=', id)
      .executeTakeFirst();
    return row?.state;
  }

  #newestFirst(projectId: string): SelectQueryBuilder<Database, 'project_saves', SaveRecord> {
    return this.#ready(projectId)
      .orderBy('project_saves.created_at', 'desc')
      .orderBy('project_saves.id', 'desc');
  }

  #ready(projectId: string): SelectQueryBuilder<Database, 'project_saves', SaveRecord> {
    return this.#db
      .selectFrom('project_saves')
      .selectAll('project_saves')
      .where('project_saves.team_id', '=', this.#teamId)
      .where('project_saves.project_id', '=', projectId)
      .where((where) =>
        where.exists(
          where
            .selectFrom('snapshots')
            .whereRef('snapshots.id', '=', 'project_saves.id')
            .whereRef('snapshots.team_id', '=', 'project_saves.team_id')
            .where('snapshots.state', '=', 'ready')
            .select('snapshots.id'),
        ),
      );
  }
}
