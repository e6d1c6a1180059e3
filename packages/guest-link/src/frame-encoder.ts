import type { Frame } from './frame.js';
import { HEADER_BYTES, TRAILER_BYTES } from './protocol.js';

/** Payloads up to this size are copied next to their header; longer ones go to the socket as they are. */
const INLINE_PAYLOAD_BYTES = 4_096;

/** Turns frames into the buffers of one session. */
export class FrameEncoder {
  readonly #epoch: number;
  readonly #trailer: Buffer;

  /** @param epoch number of the session, which every trailer repeats */
  constructor(epoch: number) {
    this.#epoch = epoch;
    this.#trailer = Buffer.alloc(TRAILER_BYTES);
    this.#trailer.writeUInt32LE(epoch);
  }

  /**
   * The frame as one to three buffers to be written in order. A long payload is among them uncopied, so it must not
   * change before it is written.
   */
  encode(frame: Frame): readonly Uint8Array[] {
    const { length } = frame.payload;
    if (length > INLINE_PAYLOAD_BYTES) {
      const header = Buffer.allocUnsafe(HEADER_BYTES);
      writeHeader(header, frame);
      return [header, frame.payload, this.#trailer];
    }
    const whole = Buffer.allocUnsafe(HEADER_BYTES + length + TRAILER_BYTES);
    writeHeader(whole, frame);
    whole.set(frame.payload, HEADER_BYTES);
    whole.writeUInt32LE(this.#epoch, HEADER_BYTES + length);
    return [whole];
  }
}

function writeHeader(target: Buffer, frame: Frame): void {
  target.writeUInt32LE(frame.payload.length, 0);
  target.writeUInt32LE(frame.stream, 4);
  target.writeUInt8(frame.type, 8);
  target.writeUInt8(frame.channel, 9);
  target.writeUInt16LE(0, 10);
}
