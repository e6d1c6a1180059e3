import { setTimeout as delay } from 'node:timers/promises';

const INTERVAL_MS = 100;

/**
 * Looks again and again until a condition holds: what is waited for tells nobody when it happens.
 *
 * @param look answers undefined or false while it does not hold; may throw, which counts the same
 */
export async function eventually<T>(
  what: string,
  timeoutMs: number,
  look: () => Promise<T | undefined | false>,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    let last: unknown;
    try {
      const value = await look();
      if (value !== undefined && value !== false) return value;
    } catch (thrown) {
      last = thrown;
    }
    if (performance.now() > end) {
      throw new Error(`not within ${timeoutMs / 1000} s: ${what}`, { cause: last });
    }
    await delay(INTERVAL_MS);
  }
}
