import type { DormouseError } from '@dormouse/errors';
import { neverUnhandled } from './abort.js';
import { MAX_HOST_DATA_BYTES } from './protocol.js';

/** A piece of DATA that fits one frame. */
export interface OutboundPiece {
  readonly bytes: Uint8Array;
  /** To be called when the socket has taken it. */
  readonly written: () => void;
}

/** Bytes on their way: settled when the socket has taken all of them. */
export interface Writing {
  readonly done: Promise<void>;
  /** Gives up what was not handed out yet. */
  readonly stop: (error: DormouseError) => void;
}

interface Pending {
  readonly data: Uint8Array;
  at: number;
  readonly resolve: () => void;
  readonly reject: (error: DormouseError) => void;
}

/** What a stream has been given to send, in order, and its end. Nothing is copied. */
export class OutboundData {
  readonly #queue: Pending[] = [];
  readonly #unconfirmed = new Set<Pending>();
  #end: 'open' | 'due' | 'sent' = 'open';
  #error: DormouseError | undefined;

  add(data: Uint8Array): Writing {
    const { promise, resolve, reject } = withResolvers();
    const pending: Pending = { data, at: 0, resolve, reject };
    if (this.#error !== undefined) reject(this.#error);
    else if (data.length === 0) resolve();
    else this.#queue.push(pending);
    return { done: neverUnhandled(promise), stop: (error) => this.#drop(pending, error) };
  }

  /** END is due after everything added so far. */
  end(): void {
    if (this.#end === 'open') this.#end = 'due';
  }

  /** The next piece that the credit allows, `end` when it is END's turn, undefined when there is nothing. */
  next(credit: number): OutboundPiece | 'end' | undefined {
    const pending = this.#queue[0];
    if (pending === undefined) {
      if (this.#end !== 'due') return undefined;
      this.#end = 'sent';
      return 'end';
    }
    const length = Math.min(MAX_HOST_DATA_BYTES, credit, pending.data.length - pending.at);
    if (length <= 0) return undefined;
    const bytes = pending.data.subarray(pending.at, pending.at + length);
    pending.at += length;
    if (pending.at < pending.data.length) return { bytes, written: () => {} };
    this.#queue.shift();
    this.#unconfirmed.add(pending);
    return { bytes, written: () => this.#confirm(pending) };
  }

  /** Rejects everything that is not confirmed, and whatever is added later. */
  fail(error: DormouseError): void {
    this.#error = error;
    for (const pending of [...this.#queue.splice(0), ...this.#unconfirmed]) pending.reject(error);
    this.#unconfirmed.clear();
  }

  #confirm(pending: Pending): void {
    this.#unconfirmed.delete(pending);
    pending.resolve();
  }

  #drop(pending: Pending, error: DormouseError): void {
    const index = this.#queue.indexOf(pending);
    if (index !== -1) this.#queue.splice(index, 1);
    this.#unconfirmed.delete(pending);
    pending.reject(error);
  }
}

function withResolvers(): {
  promise: Promise<void>;
  resolve: () => void;
  reject: (error: DormouseError) => void;
} {
  let resolve: () => void = () => {};
  let reject: (error: DormouseError) => void = () => {};
  const promise = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}
