import { z } from 'zod';
import { NextCursor, PageQuery } from './paging.js';
import { Timestamp } from './primitives.js';

const MEANINGS = [
  '`created`: asked for',
  '`started`: it takes commands for the first time',
  '`failed`: it could not be made',
  '`paused`, `resumed`: as asked; `data.resumed_by` says how',
  '`pause_failed`: it runs on',
  '`resume_failed`: it stays paused',
  '`forked`: `data.children` begin where it was',
  '`stopped`: its virtual machine has ended, and there is nothing it can be resumed from',
  '`deleted`: nothing of it is left',
  '`auto_paused`, `killed`: it was not used for `timeout_sec`',
  '`auto_pause_failed`: it runs on, and it is tried again',
  '`restored_again`: its restore broke off',
  '`rebooted`: its memory was lost, so it was booted from its disk',
  '`stays_paused`: it could not be brought back by its host',
  '`paused_with_host`, `resumed_with_host`: its host was stopped and started',
  '`vm_ended`: its virtual machine has ended by itself; it is paused, and resuming boots it from its disk',
].join('; ');

export const Event = z
  .object({
    id: z.string().meta({
      description: 'Grows with every event of a team; pass it as `Last-Event-ID` to go on after it',
      example: '4711',
    }),
    type: z.string().meta({
      description: `What happened. Of a sandbox: ${MEANINGS}. Of a snapshot: \`created\`, \`deleted\`. There may be more in the future`,
      example: 'sandbox.auto_paused',
    }),
    sandbox_id: z.string().nullable().meta({
      description: 'Sandbox it is about; null when it is about none',
      example: 'sb4f9k2m7q1x8c3v6b0n5z',
    }),
    snapshot_id: z
      .string()
      .nullable()
      .meta({ description: 'Snapshot it is about; null when it is about none', example: null }),
    actor: z.string().meta({
      description: 'Who did it: `key:<id>` or `user:<id>` of the team, `host:<id>`, or `system` for repairs',
      example: 'host:7d0f2a46-9c0e-4b0a-8d4e-52ab6f3c9d11',
    }),
    reason: z.string().nullable().meta({
      description: 'Why it happened, when nobody asked for it',
      example: 'it was not used for 600 s',
    }),
    data: z.record(z.string(), z.unknown()).meta({ description: 'What else there is to say', example: {} }),
    at: Timestamp,
  })
  .meta({ id: 'Event' });
export type Event = z.infer<typeof Event>;

export const EventList = z
  .object({ events: z.array(Event).meta({ description: 'One page, newest first' }), next_cursor: NextCursor })
  .meta({ id: 'EventList' });
export type EventList = z.infer<typeof EventList>;

/** Query of GET …/events. */
export const EventsQuery = PageQuery.extend({
  after: z
    .string()
    .regex(/^\d{1,18}$/, 'must be the id of an event')
    .optional()
    .meta({
      description: 'Only of a live stream: begin after this event; `0`: with the first there is',
      example: '0',
    }),
});
