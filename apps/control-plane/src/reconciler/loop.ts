import { fromUnknown } from '@dormouse/errors';
import type { Services } from '../context.js';
import type { Bell } from '../flow/bell.js';
import { reconcileOnce } from './reconcile.js';

/** Pause between two rounds when nothing is told. */
const INTERVAL_MS = 5_000;
/** The same while somebody is at work: when that one is gone, what it has left is repaired soon. */
const BUSY_INTERVAL_MS = 1_000;
/** Events come in crowds: one round for all of them. */
const CROWD_MS = 100;

/**
 * Reconciles at once, at every ring of the bell, and every five seconds until stopped. A round that fails changes
 * nothing and is followed by the next; the log hears of it once, and once when it is over.
 */
export async function reconcileForEver(services: Services, bell: Bell, stop: AbortSignal): Promise<void> {
  const { log } = services;
  let failing = false;
  const known = new Set<string>();
  while (!stop.aborted) {
    let intervalMs = INTERVAL_MS;
    try {
      const { strangers, underWay } = await reconcileOnce(services);
      if (underWay) intervalMs = BUSY_INTERVAL_MS;
      for (const id of strangers) {
        if (known.has(id)) continue;
        known.add(id);
        log.warn(
          { sandboxId: id },
          'the host has a sandbox that this database has never heard of; left alone',
        );
      }
      if (failing) log.info('reconciling again');
      failing = false;
    } catch (thrown) {
      const { code, message } = fromUnknown(thrown);
      log[failing ? 'debug' : 'warn']({ code, reason: message }, 'cannot reconcile');
      failing = true;
    }
    await bell.wait(intervalMs, stop);
    await bell.quiet(CROWD_MS, stop);
  }
}
