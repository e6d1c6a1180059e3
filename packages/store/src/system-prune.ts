import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Database } from './schema.js';

/** Rows that one statement removes at most: it holds locks for milliseconds, and keeps the time limit of statements. */
const BATCH_ROWS = 1_000;

/** Removes what is too old to matter. Any number of control planes may do it at once. */
export class SystemPrune {
  readonly #db: Kysely<Database>;
  readonly #batchRows: number;

  /** @param batchRows default 1,000 */
  constructor(db: Kysely<Database>, batchRows: number = BATCH_ROWS) {
    this.#db = db;
    this.#batchRows = batchRows;
  }

  /**
   * Sandboxes that ended so many days ago, and that were destroyed on request or never came to be. Others have a disk
   * that somebody may still want. Those whose host is away stay: it may still have something of them.
   *
   * @returns how many
   */
  endedSandboxes(days: number): Promise<number> {
    return this.#delete(
      (limit) => sql`
        delete from sandboxes where id in (
          select sandboxes.id from sandboxes
            where state in ('stopped', 'error') and state_changed_at < ${ago(days)}
              and (deleted_at is not null or state = 'error')
              and not exists (select from hosts where hosts.id = sandboxes.host_id and hosts.state <> 'online')
              and not exists (select from projects where projects.sandbox_id = sandboxes.id)
            order by state_changed_at limit ${limit})`,
    );
  }

  /**
   * Snapshots that were deleted so many days ago and from which nothing descends.
   *
   * @returns how many
   */
  deletedSnapshots(days: number): Promise<number> {
    return this.#delete(
      (limit) => sql`
        delete from snapshots where id in (
          select gone.id from snapshots gone
            where gone.state = 'deleted' and gone.state_changed_at < ${ago(days)}
              and not exists (select from snapshots child where child.parent_id = gone.id)
              and not exists (select from sandboxes where sandboxes.parent_snapshot = gone.id)
            order by gone.state_changed_at limit ${limit})`,
    );
  }

  /**
   * Builds that finished so many days ago, with their logs. The one that has made a snapshot stays as long as that
   * does: by it one can tell that the snapshot was built, and how old it is.
   *
   * @returns how many
   */
  builds(days: number): Promise<number> {
    return this.#delete(
      (limit) => sql`
        delete from template_builds where id in (
          select build.id from template_builds build
            where build.finished_at < ${ago(days)} and not exists (
              select from snapshots where snapshots.id = build.snapshot_id and snapshots.state <> 'deleted')
            order by build.finished_at limit ${limit})`,
    );
  }

  /** What builds have said so many days ago, also those that stay. @returns how many entries */
  buildLogs(days: number): Promise<number> {
    return this.#delete(
      (limit) => sql`
        delete from template_build_logs where (build_id, seq) in (
          select build_id, seq from template_build_logs where at < ${ago(days)} order by at limit ${limit})`,
    );
  }

  /** Events of so many days ago. @returns how many */
  events(days: number): Promise<number> {
    return this.#delete(
      (limit) => sql`
        delete from events where id in (select id from events where at < ${ago(days)} order by at limit ${limit})`,
    );
  }

  /** Deliveries of webhooks that have ended and are of so many days ago. @returns how many */
  deliveries(days: number): Promise<number> {
    return this.#delete(
      (limit) => sql`
        delete from webhook_deliveries where id in (
          select id from webhook_deliveries where created_at < ${ago(days)} and state <> 'pending'
            order by created_at limit ${limit})`,
    );
  }

  async #delete(batch: (limit: number) => RawBuilder<unknown>): Promise<number> {
    let removed = 0;
    for (;;) {
      const { numAffectedRows = 0n } = await batch(this.#batchRows).execute(this.#db);
      removed += Number(numAffectedRows);
      if (numAffectedRows < BigInt(this.#batchRows)) return removed;
    }
  }
}

function ago(days: number): RawBuilder<Date> {
  return sql<Date>`now() - make_interval(days => ${sql.lit(days)})`;
}
