import { create } from '@bufbuild/protobuf';
import { type WatchEventsResponse, WatchEventsResponseSchema } from '@dormouse/host-api';
import type { HostEvents } from '@dormouse/sandbox';
import { eventMessage } from './messages.js';

/** How often something is said though nothing has happened. */
const HEARTBEAT_MS = 5_000;
const EVENTS_PER_MESSAGE = 100;

/** What nobody has acknowledged yet, and then every further event as it happens. */
export async function* watchEvents(
  events: HostEvents,
  signal: AbortSignal,
): AsyncGenerator<WatchEventsResponse> {
  let told = 0;
  while (!signal.aborted) {
    const next = events.pending(told).slice(0, EVENTS_PER_MESSAGE);
    yield create(WatchEventsResponseSchema, { events: next.map(eventMessage) });
    told = next.at(-1)?.number ?? told;
    await events.changed(told, HEARTBEAT_MS, signal);
  }
}
