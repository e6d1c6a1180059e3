import type { Event } from '@dormouse/contracts';
import type { EventRecord } from '@dormouse/store';

/** A stored event as /v1 shows it. */
export function presentEvent(record: EventRecord): Event {
  return {
    id: record.id,
    type: record.type,
    sandbox_id: record.sandbox_id,
    snapshot_id: record.snapshot_id,
    actor: record.actor,
    reason: record.reason,
    data: record.data,
    at: record.at.toISOString(),
  };
}
