import { type Kysely, sql } from 'kysely';
import type { Database } from './schema.js';

/** How much of something is allowed: `limit` at once, and as much again spread over `windowSec`. */
export interface RateLimit {
  readonly limit: number;
  readonly windowSec: number;
}

/** Whether something is allowed now. */
export interface RateVerdict {
  readonly allowed: boolean;
  /** Seconds until it will be, at least 1; 0 when it is. */
  readonly retryAfterSec: number;
}

/** Rows one sweep removes at most: it must not hold the table for long. */
const SWEEP_ROWS = 10_000;

/**
 * Limits that all control planes on one database share.
 *
 * Each key is an account that holds `limit` and refills evenly within `windowSec` (the generic cell rate algorithm:
 * a sliding window that needs one time stamp, not a row for each request). A key that nobody has used for a window is
 * full, which is the same as not being there.
 */
export class RateLimits {
  readonly #db: Kysely<Database>;

  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  /** Takes one, if there is one, in a single statement: of many at the same time no more succeed than may. */
  async take(key: string, { limit, windowSec }: RateLimit): Promise<RateVerdict> {
    const step = sql`make_interval(secs => ${windowSec / limit})`;
    const window = sql`make_interval(secs => ${windowSec})`;
    const { rows } = await sql<{ taken: boolean; wait_sec: number | null }>`
      with taken as (
        insert into rate_limits as held (key, full_again_at) values (${key}, now() + ${step})
          on conflict (key) do update set full_again_at = greatest(held.full_again_at, now()) + ${step}
            where greatest(held.full_again_at, now()) + ${step} <= now() + ${window}
          returning 1
      )
      select exists (select from taken) as taken,
        (select extract(epoch from full_again_at + ${step} - ${window} - now())::float8
          from rate_limits where key = ${key}) as wait_sec`.execute(this.#db);
    const { taken, wait_sec: waitSec } = rows[0]!;
    // Another request may have made the row after this statement began to look; then it knows no time.
    return { allowed: taken, retryAfterSec: taken ? 0 : Math.max(1, Math.ceil(waitSec ?? 1)) };
  }

  /** Fills an account again. */
  async forget(key: string): Promise<void> {
    await this.#db.deleteFrom('rate_limits').where('key', '=', key).execute();
  }

  /** Removes accounts that are full. How many. */
  async sweep(): Promise<number> {
    const { numAffectedRows } = await sql`
      delete from rate_limits where key in (
        select key from rate_limits where full_again_at < now() limit ${SWEEP_ROWS} for update skip locked
      )`.execute(this.#db);
    return Number(numAffectedRows ?? 0n);
  }
}
