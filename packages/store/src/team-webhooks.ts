import { DormouseError } from '@dormouse/errors';
import { type Kysely, sql, type Transaction } from 'kysely';
import { cutPage, decodeCursor, type Page, type PageRequest } from './cursor.js';
import { lockTeam } from './events.js';
import type { Database } from './schema.js';
import { isUuid } from './uuid.js';
import {
  type AttemptResult,
  DELIVERY_COLUMNS,
  type DeliveryRecord,
  type NewWebhook,
  type SignedWebhook,
  WEBHOOK_COLUMNS,
  type WebhookChanges,
  type WebhookRecord,
} from './webhook-record.js';

/** Every event costs a row and a request for each of them. */
const MAX_WEBHOOKS = 20;

/** What PostgreSQL's bigint holds, without its last digit. */
const DELIVERY_ID_PATTERN = /^\d{1,18}$/;

/** Whom a team tells of its events. */
export class TeamWebhooks {
  readonly #db: Kysely<Database>;
  readonly #teamId: string;

  constructor(db: Kysely<Database>, teamId: string) {
    this.#db = db;
    this.#teamId = teamId;
  }

  /** @throws DormouseError `quota_exceeded` */
  async insert({ url, secret, eventTypes, enabled, createdBy }: NewWebhook): Promise<WebhookRecord> {
    return this.#db.transaction().execute(async (transaction) => {
      await lockTeam(transaction, this.#teamId);
      const { count } = await transaction
        .selectFrom('webhooks')
        .select((select) => select.fn.countAll().as('count'))
        .where('team_id', '=', this.#teamId)
        .executeTakeFirstOrThrow();
      if (Number(count) >= MAX_WEBHOOKS) {
        throw new DormouseError('quota_exceeded', `a team may have ${MAX_WEBHOOKS} webhooks`, {
          suggestion: 'Delete one of them.',
        });
      }
      return transaction
        .insertInto('webhooks')
        .values({
          team_id: this.#teamId,
          url,
          secret,
          event_types: [...eventTypes],
          enabled,
          created_by: createdBy,
        })
        .returning(WEBHOOK_COLUMNS)
        .executeTakeFirstOrThrow();
    });
  }

  /** Newest first. */
  async list(page: PageRequest): Promise<Page<WebhookRecord>> {
    let query = this.#db
      .selectFrom('webhooks')
      .select(WEBHOOK_COLUMNS)
      .where('team_id', '=', this.#teamId)
      .orderBy('created_at', 'desc')
      .orderBy(sql`id::text`, 'desc')
      .limit(page.limit + 1);
    if (page.cursor !== undefined) {
      const { createdAt, id } = decodeCursor(page.cursor);
      query = query.where(sql<boolean>`(created_at, id::text) < (${createdAt}, ${id})`);
    }
    return cutPage(await query.execute(), page.limit);
  }

  async find(id: string): Promise<WebhookRecord | undefined> {
    if (!isUuid(id)) return undefined;
    return this.#db
      .selectFrom('webhooks')
      .select(WEBHOOK_COLUMNS)
      .where('team_id', '=', this.#teamId)
      .where('id', '=', id)
      .executeTakeFirst();
  }

  /** With its secret, to sign something with. */
  async findSigned(id: string): Promise<SignedWebhook | undefined> {
    if (!isUuid(id)) return undefined;
    return this.#db
      .selectFrom('webhooks')
      .selectAll()
      .where('team_id', '=', this.#teamId)
      .where('id', '=', id)
      .executeTakeFirst();
  }

  /** Whoever changes whether it is enabled gives up on what is pending: it is old news by then. */
  async update(
    id: string,
    { url, secret, eventTypes, enabled }: WebhookChanges,
  ): Promise<WebhookRecord | undefined> {
    if (!isUuid(id)) return undefined;
    return this.#db.transaction().execute(async (transaction) => {
      const before = await transaction
        .selectFrom('webhooks')
        .select('enabled')
        .where('team_id', '=', this.#teamId)
        .where('id', '=', id)
        .forUpdate()
        .executeTakeFirst();
      if (before === undefined) return undefined;
      if (enabled !== undefined && enabled !== before.enabled) await giveUp(transaction, id);
      return transaction
        .updateTable('webhooks')
        .set({
          enabled: enabled ?? before.enabled,
          ...(url === undefined ? {} : { url, failures: 0 }),
          ...(secret === undefined ? {} : { secret }),
          ...(eventTypes === undefined ? {} : { event_types: [...eventTypes] }),
        })
        .where('id', '=', id)
        .returning(WEBHOOK_COLUMNS)
        .executeTakeFirstOrThrow();
    });
  }

  /** Whether it was there to delete. Its deliveries go with it. */
  async delete(id: string): Promise<boolean> {
    if (!isUuid(id)) return false;
    const result = await this.#db
      .deleteFrom('webhooks')
      .where('team_id', '=', this.#teamId)
      .where('id', '=', id)
      .executeTakeFirst();
    return result.numDeletedRows > 0n;
  }

  /** Newest first. */
  async deliveries(webhookId: string, page: PageRequest): Promise<Page<DeliveryRecord>> {
    let query = this.#deliveriesOf(webhookId)
      .orderBy('webhook_deliveries.id', 'desc')
      .limit(page.limit + 1);
    if (page.cursor !== undefined) {
      if (!DELIVERY_ID_PATTERN.test(page.cursor)) {
        throw new DormouseError('invalid_request', 'cursor: must be the next_cursor of an earlier page');
      }
      query = query.where('webhook_deliveries.id', '<', page.cursor);
    }
    const rows = await query.execute();
    const items = rows.slice(0, page.limit);
    return { items, nextCursor: rows.length > page.limit ? (items.at(-1)?.id ?? null) : null };
  }

  async delivery(webhookId: string, id: string): Promise<DeliveryRecord | undefined> {
    if (!isUuid(webhookId) || !DELIVERY_ID_PATTERN.test(id)) return undefined;
    return this.#deliveriesOf(webhookId).where('webhook_deliveries.id', '=', id).executeTakeFirst();
  }

  /**
   * Makes a delivery due at once, with as many attempts as a new one. An attempt that is under way decides first.
   *
   * @param attempts how many
   */
  async retry(webhookId: string, id: string, attempts: number): Promise<DeliveryRecord | undefined> {
    if ((await this.delivery(webhookId, id)) === undefined) return undefined;
    await this.#db
      .updateTable('webhook_deliveries')
      .set({ state: 'pending', attempts_left: attempts, next_attempt_at: sql<Date>`now()` })
      .where('id', '=', id)
      .where('webhook_id', '=', webhookId)
      .execute();
    return this.delivery(webhookId, id);
  }

  /** Writes down how a ping went; undefined when its webhook is gone. */
  async recordPing(
    webhookId: string,
    type: string,
    result: AttemptResult,
  ): Promise<DeliveryRecord | undefined> {
    const { rows } = await sql<{ id: string }>`
      insert into webhook_deliveries
        (webhook_id, event_type, state, attempts, attempts_left, last_attempt_at, last_status, last_error, durations_ms)
        select id, ${type}, ${result.error === null ? 'delivered' : 'failed'}, 1, 0, now(),
            ${result.status}::integer, ${result.error}::text, array[${result.durationMs}::integer]
          from webhooks where team_id = ${this.#teamId} and id = ${webhookId} for share
        returning id`.execute(this.#db);
    return rows[0] === undefined ? undefined : this.delivery(webhookId, rows[0].id);
  }

  #deliveriesOf(webhookId: string) {
    return this.#db
      .selectFrom('webhook_deliveries')
      .innerJoin('webhooks', 'webhooks.id', 'webhook_deliveries.webhook_id')
      .select(DELIVERY_COLUMNS)
      .where('webhooks.team_id', '=', this.#teamId)
      .where('webhooks.id', '=', webhookId);
  }
}

async function giveUp(transaction: Transaction<Database>, webhookId: string): Promise<void> {
  await transaction
    .updateTable('webhook_deliveries')
    .set({ state: 'failed', last_error: 'the webhook was disabled' })
    .where('webhook_id', '=', webhookId)
    .where('state', '=', 'pending')
    .execute();
}
