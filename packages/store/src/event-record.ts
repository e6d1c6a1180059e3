import type { Selectable } from 'kysely';
import type { EventsTable } from './schema.js';

/** An event as it is stored. */
export type EventRecord = Readonly<Selectable<EventsTable>>;

/** Something that is about to be written down. */
export interface NewEvent {
  readonly type: EventType;
  readonly sandboxId?: string | null;
  readonly snapshotId?: string | null;
  readonly reason?: string | null;
  readonly data?: Readonly<Record<string, unknown>>;
}

/** Everything that is told of sandboxes and snapshots. */
export const EVENT_TYPES = [
  'sandbox.created',
  'sandbox.started',
  'sandbox.failed',
  'sandbox.paused',
  'sandbox.pause_failed',
  'sandbox.resumed',
  'sandbox.resume_failed',
  'sandbox.forked',
  'sandbox.stopped',
  'sandbox.deleted',
  'sandbox.auto_paused',
  'sandbox.auto_pause_failed',
  'sandbox.killed',
  'sandbox.restored_again',
  'sandbox.rebooted',
  'sandbox.stays_paused',
  'sandbox.paused_with_host',
  'sandbox.resumed_with_host',
  'sandbox.vm_ended',
  'snapshot.created',
  'snapshot.deleted',
] as const;

export type EventType = (typeof EVENT_TYPES)[number];

/** Something a host has done by itself. */
export interface HostEventRecord {
  readonly number: number;
  readonly type: EventType;
  readonly sandboxId: string;
  readonly generation: number;
  readonly at: Date;
  readonly reason: string | null;
  /** Two events of one key are one event; null: none. */
  readonly key: string | null;
  /** Where the sandbox is since then, if the event says so. */
  readonly ledTo: 'paused' | 'stopped' | null;
}
