import { setTimeout as wait } from 'node:timers/promises';
import type { Services } from '../context.js';

/** How long it can be looked up what happened. */
const KEEP_DAYS = 90;
/** And whom webhooks have told of it. */
const KEEP_DELIVERIES_DAYS = 30;
/** What has ended or was deleted: rows that say nothing any more, and that everything else has to pass by. */
const KEEP_ENDED_DAYS = 30;
/** Builds, and what they have said. */
const KEEP_BUILDS_DAYS = 30;
const EVERY_MS = 3_600_000;

/** Removes what is old, once an hour until stopped. What fails for one kind is no reason to keep the others. */
export async function pruneForEver({ store, log }: Services, stop: AbortSignal): Promise<void> {
  const { prune } = store.system;
  const kinds: readonly (readonly [string, () => Promise<number>])[] = [
    ['deliveries', () => prune.deliveries(KEEP_DELIVERIES_DAYS)],
    ['events', () => prune.events(KEEP_DAYS)],
    ['build logs', () => prune.buildLogs(KEEP_BUILDS_DAYS)],
    ['builds', () => prune.builds(KEEP_BUILDS_DAYS)],
    ['ended sandboxes', () => prune.endedSandboxes(KEEP_ENDED_DAYS)],
    ['deleted snapshots', () => prune.deletedSnapshots(KEEP_ENDED_DAYS)],
  ];
  while (!stop.aborted) {
    for (const [what, remove] of kinds) {
      if (stop.aborted) return;
      try {
        const count = await remove();
        if (count > 0) log.debug({ what, count }, 'pruned');
      } catch (err) {
        log.warn({ err, what }, 'what is old was not removed');
      }
    }
    await wait(EVERY_MS, undefined, { signal: stop }).catch(() => undefined);
  }
}
