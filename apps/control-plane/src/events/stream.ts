import type { EventFilter, EventRecord, TeamScope } from '@dormouse/store';
import type { EventFeed } from './feed.js';
import { presentEvent } from './present.js';

/** Most events of one step: what a slow reader has not taken yet is in the database, not in memory. */
const BATCH = 100;
/** How often to look although nothing was told: a notification may have been lost with its connection. */
const LOOK_EVERY_MS = 5_000;
/** Proxies cut connections on which nothing moves. */
const HEARTBEAT_MS = 15_000;

/**
 * Server-sent events (HTML standard, section 9.2): what happens from a position on, as text, for ever, or until the
 * sandbox it is about is gone. The reader sets the pace.
 *
 * @param after id of the last event the reader knows
 */
export async function* eventStream(
  team: TeamScope,
  feed: EventFeed,
  filter: EventFilter,
  after: string,
  signal: AbortSignal,
): AsyncGenerator<string, void, void> {
  using ear = feed.listen(team.teamId);
  let position = after;
  let saidAtMs = performance.now();
  yield ': events follow\n\n';
  while (!signal.aborted) {
    const events = await team.events.after(filter, position, BATCH);
    const last = events.at(-1);
    if (last !== undefined) {
      position = last.id;
      saidAtMs = performance.now();
      yield events.map(textOf).join('');
      if (filter.sandboxId !== undefined && events.some(({ type }) => type === 'sandbox.deleted')) return;
    } else {
      await ear.news(LOOK_EVERY_MS, signal);
      if (performance.now() - saidAtMs < HEARTBEAT_MS) continue;
      saidAtMs = performance.now();
      yield ': still here\n\n';
    }
  }
}

function textOf(record: EventRecord): string {
  return `id: ${record.id}\nevent: ${record.type}\ndata: ${JSON.stringify(presentEvent(record))}\n\n`;
}
