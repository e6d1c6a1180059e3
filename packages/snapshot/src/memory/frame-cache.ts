/**
 * Frames kept: 2 MiB at 8 pages a frame. Neighbouring pages are asked for soon after each other, by a guest and by a
 * push in order of address alike; more would only help who asks at random.
 */
const CAPACITY = 64;

/** Verified frames that were used last. Their buffers are used again and again. */
export class FrameCache {
  /** From key to buffer, least recently used first. */
  readonly #frames = new Map<number, Buffer>();
  #lastKey = -1;
  #last: Buffer | undefined;

  /**
   * The frame, from memory or by `read`, which fills the buffer it is given. A frame that cannot be read is not kept.
   *
   * @param size bytes of the largest frame of this source
   */
  get(source: number, frame: number, size: number, read: (into: Buffer) => void): Buffer {
    const key = source * 2 ** 32 + frame;
    if (key === this.#lastKey) return this.#last!;
    let buffer = this.#frames.get(key);
    if (buffer === undefined) {
      buffer = this.#free(size);
      read(buffer);
    } else this.#frames.delete(key);
    this.#frames.set(key, buffer);
    this.#lastKey = key;
    this.#last = buffer;
    return buffer;
  }

  clear(): void {
    this.#frames.clear();
    this.#forgetLast();
  }

  #free(size: number): Buffer {
    this.#forgetLast();
    if (this.#frames.size < CAPACITY) return Buffer.allocUnsafeSlow(size);
    const [key, oldest] = this.#frames.entries().next().value!;
    this.#frames.delete(key);
    return oldest.length >= size ? oldest : Buffer.allocUnsafeSlow(size);
  }

  #forgetLast(): void {
    this.#lastKey = -1;
    this.#last = undefined;
  }
}
