import { setTimeout as wait } from 'node:timers/promises';
import { fromUnknown } from '@dormouse/errors';
import type { Services } from './context.js';
import { sweepLayers } from './templates/sweep-layers.js';

/** Pause between two rounds. What is swept costs a little room meanwhile, nothing else. */
const INTERVAL_MS = 10 * 60_000;

/** Removes what is too old to matter, at once and then every ten minutes until stopped. Any number may do it at once. */
export async function sweepForEver(services: Services, auditDays: number, stop: AbortSignal): Promise<void> {
  const { store, log } = services;
  while (!stop.aborted) {
    try {
      const tries = await store.system.rateLimits.sweep();
      const auditRecords = await store.system.sweepAudit(auditDays);
      const layers = await sweepLayers(services);
      log.debug({ tries, auditRecords, layers }, 'swept');
    } catch (thrown) {
      const { code, message } = fromUnknown(thrown);
      log.warn({ code, reason: message }, 'cannot sweep');
    }
    await wait(INTERVAL_MS, undefined, { signal: stop }).catch(() => undefined);
  }
}
