import { setTimeout as wait } from 'node:timers/promises';
import { fromUnknown } from '@dormouse/errors';
import type { Services } from './context.js';

/** Pause between two rounds. What is swept costs a little room meanwhile, nothing else. */
const INTERVAL_MS = 10 * 60_000;

/** Removes what is too old to matter, at once and then every ten minutes until stopped. Any number may do it at once. */
export async function sweepForEver(
  { store, log }: Services,
  auditDays: number,
  stop: AbortSignal,
): Promise<void> {
  while (!stop.aborted) {
    try {
      const tries = await store.system.rateLimits.sweep();
      const auditRecords = await store.system.sweepAudit(auditDays);
      log.debug({ tries, auditRecords }, 'swept');
    } catch (thrown) {
      const { code, message } = fromUnknown(thrown);
      log.warn({ code, reason: message }, 'cannot sweep');
    }
    await wait(INTERVAL_MS, undefined, { signal: stop }).catch(() => undefined);
  }
}
