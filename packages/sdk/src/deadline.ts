import { DormouseError } from '@dormouse/errors';

/** A signal that fires at the caller's wish or when time is up, whichever comes first. */
export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
  /** The error to report when `signal` fired, or undefined when it did not. */
  error(): DormouseError | undefined;
  /** Time is no limit any more; the caller's signal still is. */
  lift(): void;
}

/**
 * @param timeoutMs 0: no limit
 * @param what for the message: "GET /v1/sandboxes"
 */
export function startDeadline(timeoutMs: number, caller: AbortSignal | undefined, what: string): Deadline {
  const controller = new AbortController();
  let error: DormouseError | undefined;
  const fire = (cause: DormouseError): void => {
    error ??= cause;
    controller.abort(error);
  };
  const cancel = (): void => {
    fire(new DormouseError('cancelled', `${what} was cancelled`, { cause: caller?.reason }));
  };
  const timer =
    timeoutMs > 0
      ? setTimeout(
          () => fire(new DormouseError('timeout', `${what} took longer than ${timeoutMs} ms`)),
          timeoutMs,
        )
      : undefined;
  if (caller?.aborted) cancel();
  else caller?.addEventListener('abort', cancel, { once: true });
  const lift = (): void => clearTimeout(timer);
  return {
    signal: controller.signal,
    error: () => error,
    lift,
    [Symbol.dispose]: () => {
      lift();
      caller?.removeEventListener('abort', cancel);
    },
  };
}
