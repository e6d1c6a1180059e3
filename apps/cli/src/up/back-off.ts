const FIRST_DELAY_MS = 200;
const LONGEST_DELAY_MS = 5_000;

/** A service that lived this long starts with a clean record. */
export const STABLE_MS = 30_000;

/**
 * How long to wait before starting a service again.
 *
 * @param deaths how often it ended in a row, 1 or more
 */
export function restartDelayMs(deaths: number): number {
  return Math.min(FIRST_DELAY_MS * 2 ** (deaths - 1), LONGEST_DELAY_MS);
}
