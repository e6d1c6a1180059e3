import { setTimeout as delay } from 'node:timers/promises';
import { RENEW_EVERY_MS } from '@dormouse/store';
import type { Services } from './context.js';

/** A host that no control plane has seen for this long is called unreachable. */
export const UNREACHABLE_AFTER_MS = 12_000;

/** Time, for tests. */
export interface KeepAliveClock {
  /** Milliseconds since any beginning. */
  now(): number;
  /** Resolves after a time, or when the signal fires. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
}

const REAL_CLOCK: KeepAliveClock = {
  now: () => performance.now(),
  wait: (ms, signal) => delay(ms, undefined, { signal }).catch(() => undefined),
};

/** The services that keeping alive uses. */
export interface KeepAliveServices {
  readonly store: {
    readonly system: Pick<Services['store']['system'], 'markUnreachable'> & {
      readonly lease: Pick<Services['store']['system']['lease'], 'renew'>;
    };
  };
  readonly log: Pick<Services['log'], 'warn' | 'debug'>;
}

/**
 * Tells other control planes that this one is at work, until stopped, and notices hosts that are not. The first time
 * must have happened before anything is moved: see `main.ts`.
 *
 * While the database is away no heartbeat of a host can be recorded, so after an outage every host has the whole time
 * again to be seen.
 */
export async function keepAlive(
  { store, log }: KeepAliveServices,
  stop: AbortSignal,
  { now, wait }: KeepAliveClock = REAL_CLOCK,
): Promise<void> {
  let failing = false;
  let judgeFromMs = 0;
  while (!stop.aborted) {
    await wait(RENEW_EVERY_MS, stop);
    if (stop.aborted) return;
    try {
      await store.system.lease.renew();
      if (failing) judgeFromMs = now() + UNREACHABLE_AFTER_MS;
      const judges = now() >= judgeFromMs;
      for (const hostId of judges ? await store.system.markUnreachable(UNREACHABLE_AFTER_MS) : []) {
        log.warn({ hostId }, 'the host has not answered for a while; its sandboxes cannot be used');
      }
      failing = false;
    } catch (err) {
      log[failing ? 'debug' : 'warn']({ err }, 'cannot tell that this control plane is at work');
      failing = true;
    }
  }
}
