import type { PageSource } from '../postcopy/page-source.js';
import { PAGE_BYTES } from '../protocol.js';

const ZEROS = Buffer.alloc(PAGE_BYTES);

/** Memory in one buffer as a source of pages. */
export class RamPages implements PageSource {
  readonly pageCount: number;
  /** Pages that are not zero. */
  readonly populated: number;
  /** How often a page was read. */
  reads = 0;
  /** Called before a page is read: throws for what cannot be verified. */
  beforeRead: (page: number) => void = () => {};
  readonly #ram: Uint8Array;
  readonly #isPopulated: Uint8Array;

  constructor(ram: Uint8Array) {
    this.#ram = ram;
    this.pageCount = ram.length / PAGE_BYTES;
    this.#isPopulated = Uint8Array.from({ length: this.pageCount }, (_, page) =>
      ZEROS.equals(this.#content(page)) ? 0 : 1,
    );
    this.populated = this.#isPopulated.reduce((sum, bit) => sum + bit, 0);
  }

  nextPopulated(page: number): number {
    return this.#isPopulated.indexOf(1, page);
  }

  read(page: number): Uint8Array | undefined {
    this.reads++;
    this.beforeRead(page);
    return this.#isPopulated[page] === 1 ? this.#content(page) : undefined;
  }

  #content(page: number): Uint8Array {
    return this.#ram.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
  }
}
