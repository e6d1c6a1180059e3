import { type Kysely, sql } from 'kysely';
import type { Database } from './schema.js';
import type { AttemptResult, ClaimedDelivery } from './webhook-record.js';

/** What a worker takes on. */
export interface Claim {
  /** What time it is, by the clock of the database. */
  readonly at: Date;
  /** For how long nobody else takes it on. */
  readonly leaseMs: number;
  readonly limit: number;
  /** Webhooks of which nothing more is taken on. */
  readonly except: readonly string[];
  /** Of webhooks whose last attempt failed, or of the others. */
  readonly failing: boolean;
}

/** How an attempt has ended, and when the next one is. */
export interface Finish {
  readonly at: Date;
  readonly result: AttemptResult;
  /** null: given up, or delivered. */
  readonly nextAttemptAt: Date | null;
}

interface ClaimedRow {
  readonly id: string;
  readonly webhook_id: string;
  readonly event_id: string;
  readonly attempts: number;
  readonly attempts_left: number;
}

/** Durations that are kept. */
const MAX_DURATIONS = 20;

/** Deliveries of all teams, for the workers that make them. */
export class SystemWebhooks {
  readonly #db: Kysely<Database>;
  readonly #processId: string;

  constructor(db: Kysely<Database>, processId: string) {
    this.#db = db;
    this.#processId = processId;
  }

  /**
   * Takes on what is due, at most one delivery of each webhook. Nobody else takes it on before the lease ends.
   */
  async claim({ at, leaseMs, limit, except, failing }: Claim): Promise<readonly ClaimedDelivery[]> {
    const { rows } = await sql<ClaimedRow>`
      with picked as materialized (
        select due.id from webhooks cross join lateral (
          select id, next_attempt_at from webhook_deliveries
            where webhook_id = webhooks.id and state = 'pending' and event_id is not null
              and next_attempt_at <= ${at} and (claimed_until is null or claimed_until <= ${at})
            order by next_attempt_at, id limit 1
            for update skip locked
        ) due
        where webhooks.enabled and webhooks.id <> all(${except}::uuid[])
          and (webhooks.failures > 0) = ${failing}
        order by due.next_attempt_at
        limit ${limit}
      )
      update webhook_deliveries
        set attempts = attempts + 1, attempts_left = greatest(attempts_left - 1, 0), last_attempt_at = ${at},
          claimed_by = ${this.#processId}, claimed_until = ${new Date(at.getTime() + leaseMs)}
        from picked where webhook_deliveries.id = picked.id
        returning webhook_deliveries.id, webhook_id, event_id, attempts, attempts_left`.execute(this.#db);
    return rows.length === 0 ? [] : this.#complete(rows);
  }

  /** Records how an attempt has ended, unless somebody else has taken the delivery on meanwhile. */
  async finish(
    { id, attempt, attemptsLeft, webhook }: ClaimedDelivery,
    { at, result, nextAttemptAt }: Finish,
  ): Promise<void> {
    const isDelivered = result.error === null;
    const state = isDelivered ? 'delivered' : nextAttemptAt === null ? 'failed' : 'pending';
    await this.#db.transaction().execute(async (transaction) => {
      // The webhook before its delivery, as whoever disables or deletes it does.
      await transaction
        .updateTable('webhooks')
        .set({ failures: isDelivered ? 0 : sql<number>`failures + 1` })
        .where('id', '=', webhook.id)
        .$if(isDelivered, (query) => query.where('failures', '<>', 0))
        .execute();
      // Somebody has asked for it to be sent again meanwhile: a failure of this attempt is not its end.
      const retried = sql<boolean>`attempts_left <> ${attemptsLeft}::integer and ${!isDelivered}::boolean`;
      await transaction
        .updateTable('webhook_deliveries')
        .set({
          state: sql`case when ${retried} then 'pending' else ${state}::text end`,
          next_attempt_at: sql`case when ${retried} then ${at} else ${nextAttemptAt ?? at}::timestamptz end`,
          claimed_by: null,
          claimed_until: null,
          last_status: result.status,
          last_error: result.error,
          durations_ms: sql<number[]>`(array_append(durations_ms, ${result.durationMs}::integer))[
            greatest(cardinality(durations_ms) + 2 - ${MAX_DURATIONS}::integer, 1):]`,
        })
        .where('id', '=', id)
        .where('claimed_by', '=', this.#processId)
        .where('attempts', '=', attempt)
        // Given up meanwhile, because the webhook was disabled: it has arrived all the same, or stays given up.
        .$if(!isDelivered, (query) => query.where('state', '=', 'pending'))
        .execute();
    });
  }

  /** How many deliveries wait for an attempt. */
  async countPending(): Promise<number> {
    const { count } = await this.#db
      .selectFrom('webhook_deliveries')
      .select((select) => select.fn.countAll().as('count'))
      .where(sql<boolean>`state = 'pending'`)
      .executeTakeFirstOrThrow();
    return Number(count);
  }

  /** What was deleted or disabled since it was taken on is left out. */
  async #complete(rows: readonly ClaimedRow[]): Promise<readonly ClaimedDelivery[]> {
    const webhooks = await this.#db
      .selectFrom('webhooks')
      .selectAll()
      .where('id', 'in', [...new Set(rows.map(({ webhook_id }) => webhook_id))])
      .where('enabled', '=', true)
      .execute();
    const events = await this.#db
      .selectFrom('events')
      .selectAll()
      .where('id', 'in', [...new Set(rows.map(({ event_id }) => event_id))])
      .execute();
    return rows.flatMap(({ id, webhook_id, event_id, attempts, attempts_left }) => {
      const webhook = webhooks.find((one) => one.id === webhook_id);
      const event = events.find((one) => one.id === event_id);
      if (webhook === undefined || event === undefined) return [];
      return [{ id, attempt: attempts, attemptsLeft: attempts_left, webhook, event }];
    });
  }
}
