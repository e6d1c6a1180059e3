import type { Selectable } from 'kysely';
import type { EventRecord } from './event-record.js';
import type { WebhookDeliveriesTable, WebhooksTable } from './schema.js';

/** A webhook as it is stored, without its secret, which only whoever signs needs. */
export type WebhookRecord = Readonly<Omit<Selectable<WebhooksTable>, 'secret'>>;

/** A webhook with what its requests are signed with. */
export type SignedWebhook = Readonly<Selectable<WebhooksTable>>;

/** One event that one webhook is told of. */
export type DeliveryRecord = Readonly<
  Omit<Selectable<WebhookDeliveriesTable>, 'attempts_left' | 'claimed_by' | 'claimed_until'>
>;

export interface NewWebhook {
  readonly url: string;
  readonly secret: string;
  /** Empty: all. */
  readonly eventTypes: readonly string[];
  readonly enabled: boolean;
  readonly createdBy: string;
}

export interface WebhookChanges {
  readonly url?: string | undefined;
  readonly secret?: string | undefined;
  readonly eventTypes?: readonly string[] | undefined;
  readonly enabled?: boolean | undefined;
}

/** How an attempt ended. */
export interface AttemptResult {
  /** Of the answer; null: there was none. */
  readonly status: number | null;
  /** Why it failed; null: it did not. */
  readonly error: string | null;
  readonly durationMs: number;
}

/** A delivery that is to be attempted now, by nobody else. */
export interface ClaimedDelivery {
  readonly id: string;
  /** Counts from 1. */
  readonly attempt: number;
  /** Attempts that may follow this one. */
  readonly attemptsLeft: number;
  readonly webhook: SignedWebhook;
  readonly event: EventRecord;
}

/** Columns of {@link WebhookRecord}. */
export const WEBHOOK_COLUMNS = [
  'id',
  'team_id',
  'url',
  'event_types',
  'enabled',
  'failures',
  'created_by',
  'created_at',
] as const;

/** Columns of {@link DeliveryRecord}, qualified: they are read beside those of webhooks. */
export const DELIVERY_COLUMNS = [
  'webhook_deliveries.id',
  'webhook_deliveries.webhook_id',
  'webhook_deliveries.event_id',
  'webhook_deliveries.event_type',
  'webhook_deliveries.state',
  'webhook_deliveries.attempts',
  'webhook_deliveries.next_attempt_at',
  'webhook_deliveries.last_attempt_at',
  'webhook_deliveries.last_status',
  'webhook_deliveries.last_error',
  'webhook_deliveries.durations_ms',
  'webhook_deliveries.created_at',
] as const;
