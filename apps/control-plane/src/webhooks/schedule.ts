const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/** From one attempt to the next: quick for a receiver that restarts, and on for most of a day for one that is down. */
const DELAYS_MS: readonly number[] = [
  5 * SECOND_MS,
  30 * SECOND_MS,
  2 * MINUTE_MS,
  10 * MINUTE_MS,
  30 * MINUTE_MS,
  2 * HOUR_MS,
  6 * HOUR_MS,
  12 * HOUR_MS,
];

/** Each delay is up to this part shorter or longer, so that what failed together does not come back together. */
const JITTER = 0.2;

/** Attempts of one delivery; the database begins with the same number. */
export const MAX_ATTEMPTS: number = DELAYS_MS.length + 1;

/**
 * How long to wait for the next attempt; null: there is none.
 *
 * @param attemptsLeft that may still be made
 * @param random from 0 up to 1
 */
export function backOffMs(attemptsLeft: number, random: number): number | null {
  const delayMs = DELAYS_MS[DELAYS_MS.length - attemptsLeft];
  return delayMs === undefined ? null : Math.round(delayMs * (1 + JITTER * (2 * random - 1)));
}
