import { DormouseError } from '@dormouse/errors';

/** What the reason of an aborted signal means: `timeout` for `AbortSignal.timeout`, a DormouseError as it is, else `cancelled`. */
export function abortError(reason: unknown): DormouseError {
  if (reason instanceof DormouseError) return reason;
  const timedOut = reason instanceof DOMException && reason.name === 'TimeoutError';
  return timedOut
    ? new DormouseError('timeout', 'the lazy restore took too long', { cause: reason })
    : new DormouseError('cancelled', 'the lazy restore was cancelled', { cause: reason });
}
