import type { Duplex } from 'node:stream';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import { inSpan } from '@dormouse/telemetry';
import type { WaitOptions } from './abort.js';
import type { Frame } from './frame.js';
import { FrameParser } from './frame-parser.js';
import { FrameWriter } from './frame-writer.js';
import { dialSocket, type GreetedStream, greet, unreachable } from './greet.js';
import { GuestStream, type StreamHandlers, type StreamOwner, type StreamRequest } from './guest-stream.js';
import { LinkControl } from './link-control.js';
import { FRAME, MAX_STREAMS, OPEN_HEADER_BYTES } from './protocol.js';
import { spanOf } from './span-of.js';
import { violation } from './violation.js';

/** Default bound of a greeting. */
const GREET_TIMEOUT_MS = 10_000;

/** Default bound of a ping. */
const PING_TIMEOUT_MS = 10_000;

/** How long `close` waits for the guest to confirm that it has let go of the open operations. */
const CLOSE_TIMEOUT_MS = 500;

/** Default window of an operation: what the guest may send ahead of its consumer. */
const WINDOW_BYTES = 262_144;

/** Default window of file contents and connections. */
const BULK_WINDOW_BYTES = 1_048_576;

/** How to reach a guest. */
export interface ConnectOptions {
  /**
   * True when the guest may have had a session since it booted: 262,160 bytes of padding precede the greeting. False
   * only for the first session of a boot.
   */
  readonly attach: boolean;
  /** Bound of connecting and greeting in milliseconds, default 10,000. For a first boot it includes the boot. */
  readonly greetTimeoutMs?: number;
  /** Gives up connecting and greeting. */
  readonly signal?: AbortSignal;
  /** Bytes per operation the guest may send ahead of the consumer, default 262,144. */
  readonly windowBytes?: number;
  /** The same for file contents and connections, default 1,048,576. */
  readonly bulkWindowBytes?: number;
}

/**
 * A session with a guest: one byte stream that carries many operations, each with its own credit, so that none waits
 * for another's consumer. The link owns its stream and destroys it at the end.
 */
export class GuestLink implements AsyncDisposable {
  /** Window of an operation in bytes. */
  readonly windowBytes: number;
  /** Window of file contents and connections in bytes. */
  readonly bulkWindowBytes: number;
  /** Resolves at the end of the session, never rejects: the reason, or undefined after `close`. */
  readonly closed: Promise<DormouseError | undefined>;

  readonly #socket: Duplex;
  readonly #maxPayloadBytes: number;
  readonly #parser: FrameParser;
  readonly #writer: FrameWriter;
  readonly #control: LinkControl;
  readonly #owner: StreamOwner;
  readonly #streams = new Set<GuestStream>();
  readonly #byId = new Map<number, GuestStream>();
  #nextId = 1;
  #end: { readonly error: DormouseError } | undefined;
  #resolveClosed: (reason: DormouseError | undefined) => void = () => {};

  private constructor(greeted: GreetedStream, options: ConnectOptions) {
    this.windowBytes = options.windowBytes ?? WINDOW_BYTES;
    this.bulkWindowBytes = options.bulkWindowBytes ?? BULK_WINDOW_BYTES;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    const { socket, epoch, rest, welcome } = greeted;
    this.#socket = socket;
    this.#maxPayloadBytes = welcome.maxPayloadBytes;
    this.#parser = new FrameParser(epoch);
    this.#writer = new FrameWriter(socket, epoch);
    this.#control = new LinkControl(() => this.#writer.ready(this.#control));
    this.#owner = {
      ready: (stream) => this.#writer.ready(stream),
      register: (stream) => {
        this.#byId.set(this.#nextId, stream);
        return this.#nextId++;
      },
      forget: (stream, id) => {
        this.#streams.delete(stream);
        this.#byId.delete(id);
      },
    };
    socket.on('data', (chunk: Uint8Array) => this.#receive(chunk));
    socket.on('end', () => this.#lose(unreachable('the guest closed the link')));
    socket.on('close', () => this.#lose(unreachable('the link to the guest closed')));
    socket.on('error', (cause) => this.#lose(unreachable('the link to the guest failed', cause)));
    this.#receive(rest);
    if (socket.destroyed) this.#lose(unreachable('the link to the guest closed'));
    else socket.resume();
  }

  /**
   * Greets the guest at the other end of a UNIX socket or of any byte stream.
   *
   * @throws DormouseError `guest_unreachable`, `guest_protocol` (another version), `timeout` or `cancelled`
   */
  static async connect(target: string | Duplex, options: ConnectOptions): Promise<GuestLink> {
    return await inSpan('guest greet', { kind: 'client', onlyWithin: true }, () =>
      GuestLink.#connect(target, options),
    );
  }

  static async #connect(target: string | Duplex, options: ConnectOptions): Promise<GuestLink> {
    const { signal, greetTimeoutMs = GREET_TIMEOUT_MS, attach } = options;
    const untilMs = performance.now() + greetTimeoutMs;
    const wait = signal === undefined ? {} : { signal };
    const socket =
      typeof target === 'string' ? await dialSocket(target, { ...wait, timeoutMs: greetTimeoutMs }) : target;
    const timeoutMs = Math.max(1, untilMs - performance.now());
    return new GuestLink(await greet(socket, { ...wait, timeoutMs, attach }), options);
  }

  /** Whether operations can still be started. */
  get isOpen(): boolean {
    return this.#end === undefined;
  }

  /**
   * Starts an operation; the functions of `Guest` are built on it.
   *
   * @throws DormouseError the end of the link, `no_capacity` with 1,024 operations open, `payload_too_large` when the
   *   arguments exceed what the guest takes, or the signal's error
   */
  open(request: StreamRequest, handlers: StreamHandlers): GuestStream {
    if (this.#end !== undefined) throw this.#end.error;
    if (this.#streams.size >= MAX_STREAMS) {
      throw new DormouseError('no_capacity', `${MAX_STREAMS} operations of this guest are open already`);
    }
    if (OPEN_HEADER_BYTES + request.args.length > this.#maxPayloadBytes) {
      throw new DormouseError('payload_too_large', 'the arguments exceed what the guest takes in one frame');
    }
    const stream = new GuestStream(this.#owner, request, spanOf(request, handlers));
    this.#streams.add(stream);
    this.#writer.ready(stream);
    return stream;
  }

  /**
   * Asks whether the guest answers. Resolves with the round trip in milliseconds.
   *
   * @param options bound of the wait, default 10,000 ms
   * @throws DormouseError `timeout`, `cancelled`, or the end of the link
   */
  async ping(options: WaitOptions = {}): Promise<number> {
    if (this.#end !== undefined) throw this.#end.error;
    return await this.#control.ping({ timeoutMs: PING_TIMEOUT_MS, ...options });
  }

  /** From now on sends only what is urgent: the operations that hold a guest and wake it. */
  hold(): void {
    this.#writer.hold();
  }

  /** Sends everything again. */
  release(): void {
    this.#writer.release();
  }

  /**
   * Ends the session at once, without a word to the guest: its VM has gone or stands still. Open operations fail with
   * `reason`.
   */
  drop(reason: DormouseError): void {
    if (this.#end !== undefined) return;
    this.#end = { error: reason };
    this.#release(undefined);
  }

  /**
   * Ends the session. Open operations fail with `guest_unreachable`; processes live on. The guest is told to let go of
   * them, so none is left waiting for this reader; that takes at most 500 ms.
   */
  async close(): Promise<void> {
    if (this.#end !== undefined) return;
    const error = unreachable('the link to the guest was closed');
    this.#end = { error };
    for (const stream of [...this.#streams]) stream.cancel(error);
    if (this.#byId.size > 0) {
      // Its answer comes after the guest has read every CLOSE; without an answer there is nobody to wait for.
      await this.#control.ping({ timeoutMs: CLOSE_TIMEOUT_MS }).catch(fromUnknown);
    }
    this.#release(undefined);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #receive(chunk: Uint8Array): void {
    try {
      this.#parser.push(chunk, (frame) => this.#dispatch(frame));
    } catch (error) {
      this.#lose(fromUnknown(error));
    }
  }

  #dispatch(frame: Frame): void {
    if (frame.type === FRAME.ping) {
      this.#control.receivePing(frame.payload);
    } else if (frame.type === FRAME.pong) {
      this.#control.receivePong(frame.payload);
    } else {
      // What comes for a stream the guest itself has closed means nothing.
      if (frame.stream >= this.#nextId) throw violation(`stream ${frame.stream} was never opened`);
      this.#byId.get(frame.stream)?.receive(frame);
    }
  }

  /** The first reason counts; the socket's last events come here too. */
  #lose(reason: DormouseError): void {
    const closing = this.#end;
    this.#end ??= { error: reason };
    this.#release(closing === undefined ? reason : undefined);
  }

  #release(reason: DormouseError | undefined): void {
    const error = reason ?? this.#end?.error ?? unreachable('the link to the guest was closed');
    this.#resolveClosed(reason);
    this.#writer.stop();
    this.#socket.destroy();
    for (const stream of [...this.#streams]) stream.fail(error);
    this.#streams.clear();
    this.#byId.clear();
    this.#control.fail(error);
  }
}
