import { DormouseError } from '@dormouse/errors';
import { bound, type WaitOptions } from './abort.js';
import {
  decodeMessage,
  decodeResult,
  decodeWarnings,
  encodeCredit,
  encodeOpen,
  type Message,
} from './envelope.js';
import { type Frame, type FrameType, u32 } from './frame.js';
import type { FrameSource, OutboundFrame } from './frame-writer.js';
import { OutboundData } from './outbound-data.js';
import { FRAME, INITIAL_HOST_CREDIT_BYTES, MAX_CREDIT_BYTES, MESSAGE_HEADER_BYTES } from './protocol.js';
import { violation } from './violation.js';

/** The link, as a stream sees it. */
export interface StreamOwner {
  /** The stream may have a frame to send. */
  ready(stream: GuestStream): void;
  /** The id under which the stream's OPEN is about to leave. */
  register(stream: GuestStream): number;
  /** The stream is over; its id is 0 when its OPEN never left. */
  forget(stream: GuestStream, id: number): void;
}

/** An operation to start. */
export interface StreamRequest extends WaitOptions {
  /** Names the operation in errors. */
  readonly what: string;
  readonly operation: number;
  readonly args: Uint8Array;
  /** Bytes the guest may send before the consumer has taken any. */
  readonly windowBytes: number;
  /** Whether it is served while the link is held. Default no. */
  readonly urgent?: boolean;
}

/**
 * What becomes of the guest's frames. Views handed out stay valid. `message` and `data` may throw a violation; where
 * one of them is missing, such a frame is a violation itself. Credit returns through `GuestStream.consumed`.
 */
export interface StreamHandlers {
  readonly message?: (message: Message) => void;
  readonly data?: (channel: number, bytes: Uint8Array) => void;
  /** The guest sends no more DATA. */
  readonly end?: () => void;
  /**
   * Always called, once: the guest's CLOSE (undefined: ok, perhaps with warnings), a cancellation, or the
   * loss of the link.
   */
  readonly closed: (error: DormouseError | undefined, warnings: readonly string[]) => void;
}

/** Credit that a MESSAGE uses up. */
export function messageCost(message: Message): number {
  return MESSAGE_HEADER_BYTES + message.body.length;
}

const NOTHING = new Uint8Array();
const NO_WARNINGS: readonly string[] = [];

/** The host's end of one stream: its credit both ways, and what it has still to send. */
export class GuestStream implements FrameSource {
  readonly #owner: StreamOwner;
  readonly #request: StreamRequest;
  readonly #handlers: StreamHandlers;
  readonly #signalBound: Disposable;
  readonly #timeBound: Disposable;
  readonly #outbound = new OutboundData();
  #id = 0;
  /** Bytes the guest may still send; a MESSAGE may take it below zero. */
  #guestCredit: number;
  /** Bytes consumed and not yet granted anew. */
  #owed = 0;
  #sendCredit = INITIAL_HOST_CREDIT_BYTES;
  #guestEnded = false;
  #closing: 'no' | 'due' | 'sent' = 'no';
  /** `closed` was called. */
  #settled = false;
  /** Nothing is sent or received any more. */
  #over = false;

  /** @throws DormouseError when the request's signal has aborted already */
  constructor(owner: StreamOwner, request: StreamRequest, handlers: StreamHandlers) {
    this.#owner = owner;
    this.#request = request;
    this.#handlers = handlers;
    this.#guestCredit = request.windowBytes;
    const { signal, timeoutMs, what } = request;
    const stop = (error: DormouseError): void => this.cancel(error);
    this.#signalBound = bound(signal === undefined ? {} : { signal }, what, stop);
    this.#timeBound = bound(timeoutMs === undefined ? {} : { timeoutMs }, what, stop);
  }

  get urgent(): boolean {
    return this.#request.urgent ?? false;
  }

  /** Takes back the request's `timeoutMs`: what it bounds has happened. */
  endTimeout(): void {
    this.#timeBound[Symbol.dispose]();
  }

  /** Takes back the request's `signal`. */
  ignoreSignal(): void {
    this.#signalBound[Symbol.dispose]();
  }

  /** The consumer has taken bytes, so the guest may send as many more. */
  consumed(bytes: number): void {
    this.#owed += bytes;
    if (this.#creditDue) this.#owner.ready(this);
  }

  /**
   * Sends bytes as credit and the other streams allow. Resolves when the socket has taken all of them, so the buffer
   * may be used again.
   *
   * @throws DormouseError the stream's end, or what the options' signal stands for; the rest is then not sent
   */
  async write(data: Uint8Array, options: WaitOptions = {}): Promise<void> {
    if (this.#settled) throw ended(this.#request.what);
    const writing = this.#outbound.add(data);
    using _ = bound(options, this.#request.what, writing.stop);
    this.#owner.ready(this);
    await writing.done;
  }

  /** Sends END after what is being written. */
  end(): void {
    this.#outbound.end();
    this.#owner.ready(this);
  }

  /** Asks the guest to stop and goes on listening until it answers. */
  requestClose(): void {
    if (this.#closing !== 'no' || this.#over) return;
    this.#closing = 'due';
    if (this.#id === 0) this.#endOver();
    else this.#owner.ready(this);
  }

  /** Ends the stream for its consumer at once, with this error, and asks the guest to stop. */
  cancel(error: DormouseError): void {
    if (this.#settled) return;
    this.#settle(error);
    this.requestClose();
  }

  /** The link is lost. */
  fail(error: DormouseError): void {
    this.#over = true;
    this.#settle(error);
  }

  /** Takes a frame of this stream. @throws DormouseError `guest_protocol` */
  receive(frame: Frame): void {
    switch (frame.type) {
      case FRAME.data:
        this.#receiveData(frame.channel, frame.payload);
        break;
      case FRAME.message:
        this.#receiveMessage(frame.payload);
        break;
      case FRAME.credit:
        this.#receiveCredit(u32(frame.payload, 0));
        break;
      case FRAME.end:
        if (this.#guestEnded) throw violation('a stream ended twice');
        this.#guestEnded = true;
        if (!this.#settled) this.#handlers.end?.();
        break;
      case FRAME.close: {
        const error = decodeResult(frame.payload);
        const warnings = error === undefined ? decodeWarnings(frame.payload) : NO_WARNINGS;
        this.#endOver();
        this.#settle(error, warnings);
        break;
      }
      case FRAME.open:
      case FRAME.ping:
      case FRAME.pong:
        throw violation(`a frame of type ${frame.type} on a stream`);
    }
  }

  nextFrame(): OutboundFrame | undefined {
    if (this.#over || this.#closing === 'sent') return undefined;
    if (this.#id === 0) {
      this.#id = this.#owner.register(this);
      const { operation, windowBytes, args } = this.#request;
      return this.#frame(FRAME.open, encodeOpen(operation, windowBytes, args));
    }
    if (this.#closing === 'due') {
      this.#closing = 'sent';
      return this.#frame(FRAME.close, NOTHING);
    }
    if (this.#creditDue) {
      const granted = this.#owed;
      this.#owed = 0;
      this.#guestCredit += granted;
      return this.#frame(FRAME.credit, encodeCredit(granted));
    }
    const piece = this.#outbound.next(this.#sendCredit);
    if (piece === undefined) return undefined;
    if (piece === 'end') return this.#frame(FRAME.end, NOTHING);
    this.#sendCredit -= piece.bytes.length;
    return { ...this.#frame(FRAME.data, piece.bytes), written: piece.written };
  }

  /** Granting quarter windows keeps CREDIT frames rare and three quarters of the window usable. */
  get #creditDue(): boolean {
    return this.#owed > 0 && this.#owed >= this.#request.windowBytes >> 2;
  }

  #receiveCredit(bytes: number): void {
    this.#sendCredit += bytes;
    if (this.#sendCredit > MAX_CREDIT_BYTES) throw violation('credit exceeds what can be counted');
    this.#owner.ready(this);
  }

  #receiveData(channel: number, bytes: Uint8Array): void {
    if (this.#guestEnded) throw violation('DATA after END');
    if (bytes.length > this.#guestCredit) throw violation('DATA beyond the credit');
    this.#guestCredit -= bytes.length;
    if (this.#settled || bytes.length === 0) return;
    if (this.#handlers.data === undefined) throw violation(`DATA in answer to ${this.#request.what}`);
    this.#handlers.data(channel, bytes);
  }

  #receiveMessage(payload: Uint8Array): void {
    if (this.#guestCredit < 0) throw violation('MESSAGE beyond the credit');
    this.#guestCredit -= payload.length;
    if (this.#settled) return;
    const message = decodeMessage(payload);
    if (this.#handlers.message === undefined) {
      throw violation(`MESSAGE ${message.kind} in answer to ${this.#request.what}`);
    }
    this.#handlers.message(message);
  }

  #frame(type: FrameType, payload: Uint8Array): OutboundFrame {
    return { type, channel: 0, stream: this.#id, payload };
  }

  #endOver(): void {
    this.#over = true;
    this.#owner.forget(this, this.#id);
  }

  #settle(error: DormouseError | undefined, warnings = NO_WARNINGS): void {
    if (this.#settled) return;
    this.#settled = true;
    this.endTimeout();
    this.ignoreSignal();
    this.#outbound.fail(error ?? ended(this.#request.what));
    this.#handlers.closed(error, warnings);
  }
}

function ended(what: string): DormouseError {
  return new DormouseError('invalid_state', `${what} has ended`);
}
