import { type Kysely, sql } from 'kysely';
import type { Database } from './schema.js';
import { SNAPSHOT_COLUMNS, type SnapshotRecord, type SnapshotSize } from './snapshot-record.js';

/** The snapshots of all teams, for the reconciler. */
export class SystemSnapshots {
  readonly #db: Kysely<Database>;

  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  /** Every snapshot that is not deleted, and of those that are, the ones named. */
  async toReconcile(ids: readonly string[]): Promise<SnapshotRecord[]> {
    return this.#db
      .selectFrom('snapshots')
      .select(SNAPSHOT_COLUMNS)
      .where((where) =>
        where.or([where('state', '<>', 'deleted'), where('id', '=', sql<string>`any(${ids})`)]),
      )
      .orderBy('created_at')
      .execute();
  }

  /** Records that the host has let go of a snapshot that was to be deleted. */
  async finishDeleting(id: string): Promise<void> {
    await this.#db
      .updateTable('snapshots')
      .set({ state: 'deleted', state_changed_at: sql<Date>`now()` })
      .where('id', '=', id)
      .where('state', '=', 'deleting')
      .execute();
  }

  /** Records what a snapshot takes: that changes when others that shared with it go. */
  async resize(id: string, { ownBytes, totalBytes }: SnapshotSize): Promise<void> {
    await this.#db
      .updateTable('snapshots')
      .set({ own_bytes: ownBytes, total_bytes: totalBytes })
      .where('id', '=', id)
      .where('state', '=', 'ready')
      .execute();
  }
}
