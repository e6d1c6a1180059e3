import type { Duplex } from 'node:stream';
import type { Frame } from './frame.js';
import { FrameEncoder } from './frame-encoder.js';

/**
 * How much may lie in the socket's own buffer. What is in there can no longer be overtaken, so this bounds how long a
 * small request waits behind a bulk upload.
 */
const SOCKET_BUFFER_BYTES = 65_536;

/** A frame on its way out. */
export interface OutboundFrame extends Frame {
  /** Called once the socket has taken the frame and its payload may change again. */
  readonly written?: () => void;
}

/** Somebody with frames to send. */
export interface FrameSource {
  /** Whether it is served while the link is held. Default no. */
  readonly urgent?: boolean;
  /** The next frame, or undefined when there is none now. */
  nextFrame(): OutboundFrame | undefined;
}

/** Sends the frames of all sources in turn, one each, as fast as the socket takes them. */
export class FrameWriter {
  readonly #socket: Duplex;
  readonly #encoder: FrameEncoder;
  #turns: FrameSource[] = [];
  readonly #waiting = new Set<FrameSource>();
  readonly #parked = new Set<FrameSource>();
  #held = false;
  #scheduled = false;
  #stopped = false;

  constructor(socket: Duplex, epoch: number) {
    this.#socket = socket;
    this.#encoder = new FrameEncoder(epoch);
  }

  /** Gives the source its turn; call whenever it may have become able to send. */
  ready(source: FrameSource): void {
    if (this.#stopped || this.#waiting.has(source)) return;
    if (this.#held && source.urgent !== true) {
      this.#parked.add(source);
      return;
    }
    this.#waiting.add(source);
    this.#turns.push(source);
    if (this.#scheduled) return;
    this.#scheduled = true;
    // Later in the same tick, so that what became ready together leaves together.
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#pump();
    });
  }

  /** From the next frame on serves only sources that are urgent; the others keep what they have. */
  hold(): void {
    this.#held = true;
    const turns = this.#turns;
    this.#turns = turns.filter((source) => source.urgent === true);
    for (const source of turns) {
      if (source.urgent === true) continue;
      this.#waiting.delete(source);
      this.#parked.add(source);
    }
  }

  /** Serves everybody again. */
  release(): void {
    this.#held = false;
    const parked = [...this.#parked];
    this.#parked.clear();
    for (const source of parked) this.ready(source);
  }

  /** Sends nothing more. */
  stop(): void {
    this.#stopped = true;
    this.#turns = [];
    this.#waiting.clear();
    this.#parked.clear();
  }

  #pump(): void {
    if (this.#turns.length === 0 || this.#socket.writableLength >= SOCKET_BUFFER_BYTES) return;
    this.#socket.cork();
    while (!this.#stopped && this.#socket.writableLength < SOCKET_BUFFER_BYTES) {
      const source = this.#turns.shift();
      if (source === undefined) break;
      const frame = source.nextFrame();
      if (frame === undefined) {
        this.#waiting.delete(source);
        continue;
      }
      this.#turns.push(source);
      this.#write(frame);
    }
    this.#socket.uncork();
  }

  #write(frame: OutboundFrame): void {
    const buffers = this.#encoder.encode(frame);
    buffers.forEach((buffer, index) => {
      if (index < buffers.length - 1) this.#socket.write(buffer);
      else this.#socket.write(buffer, (error) => this.#wrote(frame, error));
    });
  }

  #wrote(frame: OutboundFrame, error: Error | null | undefined): void {
    // A failed write also fails the socket, whose owner then settles whoever waits.
    if (error !== null && error !== undefined) return;
    frame.written?.();
    if (!this.#stopped) this.#pump();
  }
}
