import { setTimeout as wait } from 'node:timers/promises';
import type { Services } from '../context.js';

/** How long it can be looked up what happened. */
const KEEP_DAYS = 90;
/** And whom webhooks have told of it. */
const KEEP_DELIVERIES_DAYS = 30;
const EVERY_MS = 3_600_000;

/** Removes old events, once an hour until stopped. */
export async function pruneForEver({ store, log }: Services, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    try {
      await store.system.webhooks.prune(KEEP_DELIVERIES_DAYS);
      await store.system.events.prune(KEEP_DAYS);
    } catch (err) {
      log.warn({ err }, 'old events were not removed');
    }
    await wait(EVERY_MS, undefined, { signal: stop }).catch(() => undefined);
  }
}
