import { setTimeout as wait } from 'node:timers/promises';
import { RENEW_EVERY_MS } from '@dormouse/store';
import type { Services } from './context.js';

/** A host that no control plane has seen for this long is called unreachable. */
export const UNREACHABLE_AFTER_MS = 12_000;

/**
 * Tells other control planes that this one is at work, until stopped, and notices hosts that are not. The first time
 * must have happened before anything is moved: see `main.ts`.
 */
export async function keepAlive({ store, log }: Services, stop: AbortSignal): Promise<void> {
  let failing = false;
  while (!stop.aborted) {
    await wait(RENEW_EVERY_MS, undefined, { signal: stop }).catch(() => undefined);
    if (stop.aborted) return;
    try {
      await store.system.lease.renew();
      for (const hostId of await store.system.markUnreachable(UNREACHABLE_AFTER_MS)) {
        log.warn({ hostId }, 'the host has not answered for a while; its sandboxes cannot be used');
      }
      failing = false;
    } catch (err) {
      log[failing ? 'debug' : 'warn']({ err }, 'cannot tell that this control plane is at work');
      failing = true;
    }
  }
}
