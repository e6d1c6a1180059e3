/** Attempts after the first one. */
export const MAX_RETRIES = 3;

/** Wait before the first retry; doubled for each further one. */
const FIRST_DELAY_MS = 100;

/** A server that asks for a longer wait than this gets no retry: the caller decides. */
const MAX_RETRY_AFTER_MS = 30_000;

/** Methods whose repetition changes nothing (RFC 9110, 9.2.2). PUT is left out: its body may be a spent stream. */
const REPEATABLE = new Set(['GET', 'HEAD', 'DELETE']);

/** How an attempt failed. */
export type Failure =
  /** The connection was never made, so the server has not seen the request. */
  | { readonly kind: 'refused' }
  /** The connection broke; the server may have acted. */
  | { readonly kind: 'broken' }
  /** The server answered. */
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly retryAfter: string | null;
      /** The server says that nothing of the request was begun. */
      readonly notBegun: boolean;
    };

/** What the policy must know of a request. */
export interface Attempt {
  readonly method: string;
  /** Asking twice is the same as asking once, though the method does not say so. */
  readonly idempotent?: boolean;
  /** Asking twice is not the same as asking once, though the method says so. */
  readonly once?: boolean;
  /** Attempts before this one. */
  readonly retries: number;
  /** Whether the body can be sent again. */
  readonly replayable: boolean;
}

/**
 * Whether and when to try again. Creating a sandbox or running a command twice is worse than an error, so what is
 * not repeatable by its method is retried only when the server certainly did not act: the connection was refused,
 * or the server said so beside 429 or 503 and Retry-After. Retry-After alone is no such promise: a proxy that has
 * lost its server in the middle of the request writes it as well. What is idempotent by its meaning (pausing, resuming) is repeated
 * as well when no answer came; an answer is taken as one.
 *
 * @param random 0 to 1; spreads the retries of many clients
 * @returns milliseconds to wait, or undefined to give up
 */
export function retryDelayMs(attempt: Attempt, failure: Failure, random: number): number | undefined {
  if (attempt.retries >= MAX_RETRIES || !attempt.replayable) return undefined;
  const backOffMs = Math.round(FIRST_DELAY_MS * 2 ** attempt.retries * (0.5 + random / 2));
  const repeatable = REPEATABLE.has(attempt.method) && !attempt.once;
  if (failure.kind === 'refused') return backOffMs;
  if (failure.kind === 'broken') return repeatable || attempt.idempotent ? backOffMs : undefined;
  if (failure.status === 429 || failure.status === 503) {
    if (!repeatable && !failure.notBegun) return undefined;
    const seconds = Number(failure.retryAfter ?? Number.NaN);
    if (Number.isFinite(seconds)) {
      const delayMs = Math.max(seconds * 1000, 0);
      return delayMs <= MAX_RETRY_AFTER_MS ? Math.max(delayMs, backOffMs) : undefined;
    }
    return repeatable ? backOffMs : undefined;
  }
  if (failure.status === 502 || failure.status === 504) return repeatable ? backOffMs : undefined;
  return undefined;
}

/** Whether the server may have done what it was asked for, though the attempt failed. */
export function mayHaveActed(failure: Failure): boolean {
  if (failure.kind !== 'answer') return failure.kind === 'broken';
  return failure.status >= 500 && !failure.notBegun;
}
