import type { HandlerContext } from '@connectrpc/connect';
import { fromUnknown } from '@dormouse/errors';
import { toConnectError } from '@dormouse/host-api';
import type { Logger } from 'pino';

/**
 * The edge between our methods and Connect: whatever a method throws leaves as a Connect error with our code in its
 * detail, and what is our own fault is logged, because the caller cannot know more than its message.
 */
export class RpcBoundary {
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Runs a method that answers once. */
  async answer<T>(method: () => Promise<T>): Promise<T> {
    try {
      return await method();
    } catch (error) {
      throw this.#outgoing(error);
    }
  }

  /** Runs a method that answers with a stream. */
  async *stream<T>(
    context: HandlerContext,
    method: (signal: AbortSignal) => AsyncGenerator<T>,
  ): AsyncGenerator<T> {
    try {
      yield* method(context.signal);
    } catch (error) {
      throw this.#outgoing(error);
    }
  }

  #outgoing(thrown: unknown): Error {
    const error = fromUnknown(thrown);
    if (error.code === 'internal') this.#log.error({ err: error }, 'a call failed unexpectedly');
    return toConnectError(error);
  }
}
