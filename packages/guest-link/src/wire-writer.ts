import { DormouseError } from '@dormouse/errors';
import { GuestError } from './guest-error.js';
import { MAX_PAYLOAD_BYTES, OPEN_HEADER_BYTES } from './protocol.js';

const MAX_ARGUMENT_BYTES = MAX_PAYLOAD_BYTES - OPEN_HEADER_BYTES;

/** A path: text, or bytes where a name is not UTF-8. */
export type GuestPath = string | Uint8Array;

/**
 * Builds the arguments of an operation. Numbers out of range, NUL in text and arguments longer than a frame are
 * refused here, before anything is sent: `invalid_request` or `payload_too_large`.
 */
export class WireWriter {
  #buffer: Buffer = Buffer.allocUnsafe(256);
  #length = 0;

  u8(value: number): this {
    const at = this.#room(1);
    this.#buffer.writeUInt8(inRange(value, 0, 0xff), at);
    return this;
  }

  u16(value: number): this {
    const at = this.#room(2);
    this.#buffer.writeUInt16LE(inRange(value, 0, 0xffff), at);
    return this;
  }

  u32(value: number): this {
    const at = this.#room(4);
    this.#buffer.writeUInt32LE(inRange(value, 0, 0xffff_ffff), at);
    return this;
  }

  i32(value: number): this {
    const at = this.#room(4);
    this.#buffer.writeInt32LE(inRange(value, -0x8000_0000, 0x7fff_ffff), at);
    return this;
  }

  u64(value: bigint): this {
    const at = this.#room(8);
    if (value < 0n || value > 0xffff_ffff_ffff_ffffn) throw outOfRange(value);
    this.#buffer.writeBigUInt64LE(value, at);
    return this;
  }

  i64(value: bigint): this {
    const at = this.#room(8);
    if (value < -(2n ** 63n) || value >= 2n ** 63n) throw outOfRange(value);
    this.#buffer.writeBigInt64LE(value, at);
    return this;
  }

  flag(value: boolean): this {
    return this.u8(value ? 1 : 0);
  }

  /** A `str` of any bytes. */
  bytes(value: Uint8Array): this {
    this.u32(value.length);
    const at = this.#room(value.length);
    this.#buffer.set(value, at);
    return this;
  }

  /** A `str` of text or of a path; the guest's kernel ends names at NUL, so NUL is refused. */
  str(value: GuestPath): this {
    const hasNul = typeof value === 'string' ? value.includes('\0') : value.includes(0);
    if (hasNul) throw new GuestError('invalid_argument', 'names, paths and arguments cannot contain NUL');
    return this.bytes(typeof value === 'string' ? Buffer.from(value, 'utf8') : value);
  }

  /** A `u32` count and as many `str`. */
  strs(values: readonly GuestPath[]): this {
    this.u32(values.length);
    for (const value of values) this.str(value);
    return this;
  }

  /** What was written: a view of the writer's buffer. */
  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  #room(length: number): number {
    const start = this.#length;
    const end = start + length;
    if (end > MAX_ARGUMENT_BYTES) {
      throw new DormouseError('payload_too_large', `the arguments exceed ${MAX_ARGUMENT_BYTES} bytes`);
    }
    if (end > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.min(MAX_ARGUMENT_BYTES, Math.max(end, this.#buffer.length * 2)));
      grown.set(this.#buffer.subarray(0, start));
      this.#buffer = grown;
    }
    this.#length = end;
    return start;
  }
}

function inRange(value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max) throw outOfRange(value);
  return value;
}

function outOfRange(value: number | bigint): GuestError {
  return new GuestError('invalid_argument', `${value} is out of range`);
}
