import { type Kysely, sql } from 'kysely';
import type { Database } from './schema.js';

/** A control plane that has not been seen for this long is gone, and what it was at is anybody's. */
export const LEASE_MS = 5_000;
/** Well within the lease, so that one late renewal is no end. */
export const RENEW_EVERY_MS = 1_000;
/** Leases that ended long ago say nothing any more. */
const FORGET_AFTER_SEC = 3_600;

/** Tells other control planes that this one is at work. */
export class ProcessLease {
  readonly #db: Kysely<Database>;
  readonly id: string;

  constructor(db: Kysely<Database>, id: string) {
    this.#db = db;
    this.id = id;
  }

  async renew(): Promise<void> {
    await this.#db
      .insertInto('control_planes')
      .values({ id: this.id })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ seen_at: sql<Date>`now()` }))
      .execute();
    await this.#db
      .deleteFrom('control_planes')
      .where('seen_at', '<', sql<Date>`now() - make_interval(secs => ${sql.lit(FORGET_AFTER_SEC)})`)
      .execute();
  }

  /** Says that this process is at nothing any more. */
  async end(): Promise<void> {
    await this.#db.deleteFrom('control_planes').where('id', '=', this.id).execute();
  }

  /** Every other process that is at work. */
  async others(): Promise<ReadonlySet<string>> {
    const rows = await this.#db
      .selectFrom('control_planes')
      .select('id')
      .where('id', '<>', this.id)
      .where('seen_at', '>', sql<Date>`now() - make_interval(secs => ${sql.lit(LEASE_MS / 1_000)})`)
      .execute();
    return new Set(rows.map(({ id }) => id));
  }
}
