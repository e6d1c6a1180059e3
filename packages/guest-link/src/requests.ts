import { DormouseError } from '@dormouse/errors';
import type { WaitOptions } from './abort.js';
import type { GuestLink } from './guest-link.js';
import { type GuestStream, messageCost } from './guest-stream.js';
import { InboundQueue } from './inbound-queue.js';
import { violation } from './violation.js';

/** An operation by name, number and arguments. */
export interface Operation {
  /** Names it in errors, for example `stat /etc/passwd`. */
  readonly what: string;
  readonly operation: number;
  readonly args: Uint8Array;
  /** Whether it is sent while the link is held. Default no. */
  readonly urgent?: boolean;
}

/** The kind of MESSAGE an operation answers with. */
export interface Answer<T> {
  readonly kind: number;
  readonly decode: (body: Uint8Array) => T;
}

/** Bound of an operation that the guest answers at once. */
export const QUICK_TIMEOUT_MS = 30_000;

/** Bound of an operation that may have to visit a large tree or wait for a disk. */
export const SLOW_TIMEOUT_MS = 600_000;

/** Options of an operation that may succeed and still leave something out. */
export interface WarnedOptions extends WaitOptions {
  /** Called for each thing that the guest has left out, before the operation resolves. Default: warnings are dropped. */
  readonly onWarning?: (warning: string) => void;
}

/** An operation without an answer besides its result. */
export async function command(link: GuestLink, operation: Operation, options: WarnedOptions): Promise<void> {
  const { onWarning, ...wait } = options;
  return new Promise((resolve, reject) => {
    const closed = (error: DormouseError | undefined, warnings: readonly string[]): void => {
      for (const warning of warnings) onWarning?.(warning);
      if (error === undefined) resolve();
      else reject(error);
    };
    link.open({ ...operation, ...wait, windowBytes: link.windowBytes }, { closed });
  });
}

/** An operation that answers with exactly one message. */
export async function request<T>(
  link: GuestLink,
  operation: Operation,
  answer: Answer<T>,
  options: WaitOptions,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const one = new OneAnswer(operation.what, answer, resolve, reject);
    link.open(
      { ...operation, ...options, windowBytes: link.windowBytes },
      { message: ({ kind, body }) => one.take(kind, body), closed: (error) => one.close(error) },
    );
  });
}

/** Waits for the one message of an operation and for its result. */
export class OneAnswer<T> {
  readonly #what: string;
  readonly #answer: Answer<T>;
  readonly #resolve: (value: T) => void;
  readonly #reject: (error: DormouseError) => void;
  #taken: { readonly value: T } | undefined;

  constructor(
    what: string,
    answer: Answer<T>,
    resolve: (value: T) => void,
    reject: (error: DormouseError) => void,
  ) {
    this.#what = what;
    this.#answer = answer;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  take(kind: number, body: Uint8Array): void {
    if (kind !== this.#answer.kind || this.#taken !== undefined) {
      throw violation(`MESSAGE ${kind} in answer to ${this.#what}`);
    }
    this.#taken = { value: this.#answer.decode(body) };
  }

  close(error: DormouseError | undefined): void {
    if (error !== undefined) {
      this.#reject(error);
    } else if (this.#taken !== undefined) {
      this.#resolve(this.#taken.value);
    } else {
      const missing = violation(`no answer to ${this.#what}`);
      this.#reject(missing);
      throw missing;
    }
  }
}

/**
 * An operation that answers with any number of messages, which wait for their consumer. Breaking off the iteration
 * cancels the operation; `timeoutMs` bounds it as a whole, the consumer's time included.
 */
export async function* items<T>(
  link: GuestLink,
  operation: Operation,
  answer: Answer<T>,
  options: WaitOptions,
): AsyncGenerator<T, void, undefined> {
  const queue = new InboundQueue<T>({ taken: (cost) => stream.consumed(cost) });
  const stream: GuestStream = link.open(
    { ...operation, ...options, windowBytes: link.windowBytes },
    {
      message: (message) => {
        if (message.kind !== answer.kind)
          throw violation(`MESSAGE ${message.kind} in answer to ${operation.what}`);
        queue.push(answer.decode(message.body), messageCost(message));
      },
      closed: (error) => queue.finish(error),
    },
  );
  yield* drained(queue, stream, operation.what);
}

/** Everything a queue holds and gets; breaking off cancels the stream that fills it. */
export async function* drained<T>(
  queue: InboundQueue<T>,
  stream: GuestStream,
  what: string,
): AsyncGenerator<T, void, undefined> {
  try {
    for (let next = await queue.next(); next.done !== true; next = await queue.next()) yield next.value;
  } finally {
    stream.cancel(new DormouseError('cancelled', `${what} was broken off`));
  }
}
