import { DormouseError, fromUnknown } from '@dormouse/errors';

/** What an aborted signal means: `timeout` for `AbortSignal.timeout`, a DormouseError as it is, else `cancelled`. */
export function abortError(signal: AbortSignal, what: string): DormouseError {
  const reason: unknown = signal.reason;
  if (reason instanceof DormouseError) return reason;
  const timedOut = reason instanceof DOMException && reason.name === 'TimeoutError';
  return timedOut
    ? new DormouseError('timeout', `${what} took too long`, { cause: reason })
    : new DormouseError('cancelled', `${what} was cancelled`, { cause: reason });
}

/** What bounds a wait. */
export interface WaitOptions {
  /** Ends the wait with `cancelled` (or `timeout`, for `AbortSignal.timeout`). */
  readonly signal?: AbortSignal;
  /** Ends the wait with `timeout`. */
  readonly timeoutMs?: number;
}

/**
 * Calls `stop` once when the signal aborts or the time is over. Disposing ends the watch.
 *
 * @param what names the wait in errors
 * @throws what the signal stands for, when it has aborted already
 */
export function bound(options: WaitOptions, what: string, stop: (error: DormouseError) => void): Disposable {
  const { signal, timeoutMs } = options;
  if (signal?.aborted === true) throw abortError(signal, what);
  const onAbort = (): void => {
    release();
    if (signal !== undefined) stop(abortError(signal, what));
  };
  const onTime = (): void => {
    release();
    stop(new DormouseError('timeout', `${what} took longer than ${timeoutMs} ms`));
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  const timer = timeoutMs === undefined ? undefined : setTimeout(onTime, timeoutMs);
  const release = (): void => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  };
  return { [Symbol.dispose]: release };
}

/** The promise, with its rejection counted as handled: it can be awaited later, or never. */
export function neverUnhandled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(fromUnknown);
  return promise;
}
