import { DormouseError } from '@dormouse/errors';
import { fromConnectError } from '@dormouse/host-api';

/** How long the host may take for what it should answer at once. */
export const HOST_CALL_TIMEOUT_MS = 30_000;

/** How long a boot may take: longer than the host's own watchdog with its retries. */
export const HOST_BOOT_TIMEOUT_MS = 300_000;

/** How long a fork may take: its children are restored a few at a time. */
export const HOST_FORK_TIMEOUT_MS = 600_000;

/**
 * The answer of a host call, with the host's errors in our own terms.
 *
 * @param signal what the call can be cancelled by, if anything
 */
export async function hostCall<Answer>(call: Promise<Answer>, signal?: AbortSignal): Promise<Answer> {
  try {
    return await call;
  } catch (error) {
    throw fromConnectError(error, signal?.aborted ?? false);
  }
}

/** An error of a host call that came after something was begun: it makes no promise that nothing was. */
export function asBegun(thrown: unknown): unknown {
  if (!(thrown instanceof DormouseError) || !thrown.notBegun) return thrown;
  const { code, message, suggestion } = thrown;
  return new DormouseError(code, message, {
    cause: thrown,
    ...(suggestion === undefined ? {} : { suggestion }),
  });
}

/** The answers of a streaming host call, with the host's errors in our own terms. */
export async function* hostStream<Answer>(call: AsyncIterable<Answer>): AsyncGenerator<Answer, void, void> {
  try {
    yield* call;
  } catch (error) {
    throw fromConnectError(error);
  }
}

/** What protobuf leaves optional and our host always sends. */
export function expected<Value>(value: Value | undefined, what: string): Value {
  if (value !== undefined) return value;
  throw new DormouseError('internal', `the host agent answered without ${what}`);
}
