/** Data up to this size is put together with its neighbours. */
const SMALL_BYTES = 4_096;

/** Small data is put together up to this size. */
const MERGED_BYTES = 16_384;

/** A view keeps its whole buffer alive; one that is smaller than its buffer by this factor is copied instead. */
const MAX_PINNING = 8;

/**
 * DATA that waits for its consumer. Small pieces of one channel grow into one chunk, so that a guest which sends byte
 * by byte cannot make the host hold an object and a buffer for each of them.
 */
export class DataChunk {
  readonly channel: number;
  #buffer: Uint8Array;
  #length: number;

  constructor(channel: number, bytes: Uint8Array) {
    this.channel = channel;
    const pinning = bytes.buffer.byteLength > MAX_PINNING * bytes.length;
    this.#buffer = pinning ? new Uint8Array(bytes) : bytes;
    this.#length = bytes.length;
  }

  get data(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Adds the next chunk's bytes; false when they do not belong together. */
  append(next: DataChunk): boolean {
    const total = this.#length + next.#length;
    if (next.channel !== this.channel || next.#length > SMALL_BYTES || total > MERGED_BYTES) return false;
    if (this.#spare < next.#length) {
      const grown = new Uint8Array(Math.min(MERGED_BYTES, Math.max(256, total * 2)));
      grown.set(this.data);
      this.#buffer = grown;
      this.#owned = true;
    }
    this.#buffer.set(next.data, this.#length);
    this.#length = total;
    return true;
  }

  /** Only a buffer of this chunk's own has room behind its data; a view's neighbours belong to others. */
  #owned = false;

  get #spare(): number {
    return this.#owned ? this.#buffer.length - this.#length : 0;
  }
}
