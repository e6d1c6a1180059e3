const WORD_BITS = 32;

/** A set of page numbers below a fixed count, one bit each. */
export class PageSet {
  readonly count: number;
  readonly #words: Uint32Array;

  /** @param count of pages that can be members */
  constructor(count: number) {
    this.count = count;
    this.#words = new Uint32Array(Math.ceil(count / WORD_BITS));
  }

  has(page: number): boolean {
    return ((this.#words[page >>> 5]! >>> (page & 31)) & 1) === 1;
  }

  /** @returns whether it was new */
  add(page: number): boolean {
    const bit = 1 << (page & 31);
    const word = this.#words[page >>> 5]!;
    this.#words[page >>> 5] = word | bit;
    return (word & bit) === 0;
  }
}
