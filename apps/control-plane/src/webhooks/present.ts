import type { Webhook, WebhookDelivery } from '@dormouse/contracts';
import type { DeliveryRecord, WebhookRecord } from '@dormouse/store';

/** A stored webhook as /v1 shows it. */
export function presentWebhook(record: WebhookRecord): Webhook {
  return {
    id: record.id,
    url: record.url,
    events: record.event_types,
    enabled: record.enabled,
    failures: record.failures,
    created_by: record.created_by,
    created_at: record.created_at.toISOString(),
  };
}

/** A stored delivery as /v1 shows it. */
export function presentDelivery(record: DeliveryRecord): WebhookDelivery {
  return {
    id: record.id,
    event_id: record.event_id,
    event_type: record.event_type,
    state: record.state,
    attempts: record.attempts,
    next_attempt_at: record.state === 'pending' ? record.next_attempt_at.toISOString() : null,
    last_attempt_at: record.last_attempt_at?.toISOString() ?? null,
    last_status: record.last_status,
    last_error: record.last_error,
    durations_ms: record.durations_ms,
    created_at: record.created_at.toISOString(),
  };
}
