import { DormouseError } from '@dormouse/errors';
import { neverUnhandled, type WaitOptions } from './abort.js';
import type { GuestLink } from './guest-link.js';
import type { GuestStream } from './guest-stream.js';
import type { Operation } from './requests.js';

/** A stream into a process's standard input or terminal. */
export class GuestInput implements AsyncDisposable {
  readonly #stream: GuestStream;
  readonly #result: Promise<void>;

  constructor(link: GuestLink, operation: Operation, options: { readonly signal?: AbortSignal }) {
    let closed: (error: DormouseError | undefined) => void = () => {};
    this.#result = neverUnhandled(
      new Promise<void>((resolve, reject) => {
        closed = (error) => (error === undefined ? resolve() : reject(error));
      }),
    );
    this.#stream = link.open({ ...operation, ...options, windowBytes: link.windowBytes }, { closed });
  }

  /**
   * Resolves when the bytes are on their way and the buffer may be used again; waits while the process does not read.
   *
   * @throws GuestError `no_such_process`, `failed_precondition` when its input is not open; DormouseError of the link
   */
  write(data: Uint8Array, options: WaitOptions = {}): Promise<void> {
    return this.#stream.write(data, options);
  }

  /** Ends this stream, and the process's input where that was asked for. Resolves when the guest has done so. */
  async end(): Promise<void> {
    this.#stream.end();
    await this.#result;
  }

  /** Gives up what the process has not taken. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stream.cancel(new DormouseError('cancelled', 'the input was given up'));
  }
}
