import { type Frame, type FrameHeader, readFrameHeader, type Sender, u32 } from './frame.js';
import { HEADER_BYTES, TRAILER_BYTES } from './protocol.js';
import { violation } from './violation.js';

/**
 * Cuts a byte stream into frames, whatever the borders of the chunks.
 *
 * A frame that lies whole in one chunk is handed out as a view of it; one that does not is copied once, into a buffer
 * of exactly its size. So at most one frame is ever held, and nothing is handed out before its trailer was checked.
 */
export class FrameParser {
  readonly #epoch: number;
  readonly #sender: Sender;
  readonly #head = new Uint8Array(HEADER_BYTES);
  #headFill = 0;
  #header: FrameHeader | undefined;
  #body: Uint8Array = this.#head;
  #bodyFill = 0;

  /**
   * @param epoch number of the session, which every trailer repeats
   * @param sender whose frames these are
   */
  constructor(epoch: number, sender: Sender = 'guest') {
    this.#epoch = epoch;
    this.#sender = sender;
  }

  /** Bytes held for a frame that is not complete yet. */
  get heldBytes(): number {
    return this.#header === undefined ? this.#headFill : HEADER_BYTES + this.#body.length;
  }

  /**
   * Takes the next chunk and calls `sink` for each frame it completes.
   *
   * @throws DormouseError `guest_protocol`; the parser must not be used after that
   */
  push(chunk: Uint8Array, sink: (frame: Frame) => void): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#header !== undefined) {
        at = this.#fillBody(chunk, at, this.#header, sink);
      } else if (this.#headFill === 0 && chunk.length - at >= HEADER_BYTES) {
        const header = readFrameHeader(chunk, at, this.#sender);
        at = this.#takeBody(chunk, at + HEADER_BYTES, header, sink);
      } else {
        at = this.#fillHead(chunk, at);
      }
    }
  }

  #takeBody(chunk: Uint8Array, at: number, header: FrameHeader, sink: (frame: Frame) => void): number {
    const end = at + header.length + TRAILER_BYTES;
    if (end > chunk.length) {
      this.#beginBody(header);
      return at;
    }
    this.#emit(header, chunk.subarray(at, end), sink);
    return end;
  }

  #fillHead(chunk: Uint8Array, at: number): number {
    const take = Math.min(HEADER_BYTES - this.#headFill, chunk.length - at);
    this.#head.set(chunk.subarray(at, at + take), this.#headFill);
    this.#headFill += take;
    if (this.#headFill === HEADER_BYTES) {
      this.#headFill = 0;
      this.#beginBody(readFrameHeader(this.#head, 0, this.#sender));
    }
    return at + take;
  }

  #fillBody(chunk: Uint8Array, at: number, header: FrameHeader, sink: (frame: Frame) => void): number {
    const take = Math.min(this.#body.length - this.#bodyFill, chunk.length - at);
    this.#body.set(chunk.subarray(at, at + take), this.#bodyFill);
    this.#bodyFill += take;
    if (this.#bodyFill === this.#body.length) {
      const body = this.#body;
      this.#header = undefined;
      this.#body = this.#head;
      this.#emit(header, body, sink);
    }
    return at + take;
  }

  #beginBody(header: FrameHeader): void {
    this.#header = header;
    // Not from the shared pool: a small payload somebody keeps would hold the whole pool block.
    this.#body = Buffer.allocUnsafeSlow(header.length + TRAILER_BYTES);
    this.#bodyFill = 0;
  }

  #emit(header: FrameHeader, body: Uint8Array, sink: (frame: Frame) => void): void {
    if (u32(body, header.length) !== this.#epoch) throw violation('a frame carries another epoch');
    const { type, channel, stream, length } = header;
    sink({ type, channel, stream, payload: body.subarray(0, length) });
  }
}
