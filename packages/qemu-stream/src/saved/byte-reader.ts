import { corrupt } from '../errors.js';

const TWO_TO_32 = 2 ** 32;

/** Reads big-endian values one after the other; every read is checked against the end first. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Where the next read begins. */
  get position(): number {
    return this.#at;
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4));
  }

  /** @throws DormouseError `snapshot_corrupt` also for what is no safe integer: nothing of a VM is that large */
  u64(): number {
    const at = this.#advance(8);
    const value = this.#view.getUint32(at) * TWO_TO_32 + this.#view.getUint32(at + 4);
    if (!Number.isSafeInteger(value)) throw corrupt(`an absurd number at byte ${at}`);
    return value;
  }

  /** A view of the next bytes, not a copy. */
  take(length: number): Uint8Array {
    const at = this.#advance(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** A name behind one byte of length. Latin-1 keeps every byte as it is. */
  name(): string {
    return Buffer.from(this.take(this.u8())).toString('latin1');
  }

  /** The next byte, without moving on; undefined at the end. */
  peek(): number | undefined {
    return this.#bytes[this.#at];
  }

  #advance(length: number): number {
    const at = this.#at;
    if (length > this.#bytes.length - at) throw corrupt(`it ends within ${length} bytes at byte ${at}`);
    this.#at = at + length;
    return at;
  }
}
