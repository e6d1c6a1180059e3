import { setTimeout as wait } from 'node:timers/promises';
import { fromUnknown } from '@dormouse/errors';
import type { Services } from '../context.js';
import { reconcileOnce } from './reconcile.js';

/** Pause between two rounds. */
const INTERVAL_MS = 5_000;

/**
 * Reconciles at once and then every five seconds until stopped. A round that fails changes nothing and is
 * followed by the next; the log hears of it once, and once when it is over.
 */
export async function reconcileForEver(services: Services, stop: AbortSignal): Promise<void> {
  const { log, store } = services;
  let processStartedAt: Date | undefined;
  let failing = false;
  const known = new Set<string>();
  while (!stop.aborted) {
    try {
      processStartedAt ??= await store.system.now();
      const { strangers } = await reconcileOnce(services, processStartedAt);
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
    await wait(INTERVAL_MS, undefined, { signal: stop }).catch(() => undefined);
  }
}
