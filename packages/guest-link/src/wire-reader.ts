import { violation } from './violation.js';

/**
 * Reads the structures of the protocol from bytes the guest sent. Every read is checked against what is there;
 * reading past the end, or leaving bytes over, is a violation.
 */
export class WireReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #what: string;
  #at = 0;

  /** @param what names the structure in errors, for example `ENTRY`. */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  i32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  i64(): bigint {
    return this.#view.getBigInt64(this.#take(8), true);
  }

  /** A `u8` that must be 0 or 1. */
  flag(): boolean {
    const value = this.u8();
    if (value > 1) throw violation(`${this.#what} has ${value} where 0 or 1 belongs`);
    return value === 1;
  }

  /** A field that is always 0. */
  reserved16(): void {
    if (this.u16() !== 0) throw violation(`${this.#what} has a reserved field that is not 0`);
  }

  /** The bytes of a `str`: a view of the frame, not a copy. */
  bytes(): Uint8Array {
    const length = this.u32();
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** A `str` as text; bytes that are not UTF-8 become U+FFFD. */
  text(): string {
    const bytes = this.bytes();
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  }

  /** A `u32` count and as many `str`; a count that cannot fit is refused before anything is allocated. */
  texts(): string[] {
    const count = this.u32();
    if (count * 4 > this.#bytes.length - this.#at) {
      throw violation(`${this.#what} announces ${count} items and is too short for them`);
    }
    return Array.from({ length: count }, () => this.text());
  }

  /** Call after the last field. */
  done(): void {
    const left = this.#bytes.length - this.#at;
    if (left !== 0) throw violation(`${this.#what} has ${left} bytes too many`);
  }

  #take(length: number): number {
    const start = this.#at;
    if (length > this.#bytes.length - start) throw violation(`${this.#what} is cut short`);
    this.#at = start + length;
    return start;
  }
}
