import { DormouseError } from '@dormouse/errors';
import { corrupt, subjectOf } from '../errors.js';
import type { PackedPages } from '../packed-pages/packed-pages-reader.js';
import { PAGE_SIZE, type PageRange } from '../page.js';
import { type PageMap, PageMapCursor, ZERO } from '../page-map/page-map.js';
import { runEnd } from '../page-map/run-table.js';
import { FrameCache } from './frame-cache.js';

/** Opens the packed pages of a generation, bound to its manifest. */
export type OpenPackedPages = (generationId: string) => PackedPages;

/**
 * The memory of one generation, whichever generations its pages lie in. Synchronous: who serves pages does nothing
 * else. Files are opened when they are first needed.
 */
export class GenerationMemory implements Disposable {
  readonly map: PageMap;
  readonly #open: OpenPackedPages;
  readonly #cursor: PageMapCursor;
  readonly #files: (PackedPages | undefined)[];
  readonly #packedEnds: Float64Array;
  readonly #frames = new FrameCache();

  constructor(map: PageMap, open: OpenPackedPages) {
    this.map = map;
    this.#open = open;
    this.#cursor = new PageMapCursor(map);
    this.#files = map.sources.map(() => undefined);
    this.#packedEnds = map.packedEnds();
  }

  get pageCount(): number {
    return this.map.pageCount;
  }

  /** First page from `page` on that has content, or −1. */
  nextPopulated(page: number): number {
    return this.map.nextPopulated(page);
  }

  populatedRanges(): IterableIterator<PageRange> {
    return this.map.populatedRanges();
  }

  /**
   * The verified content of a page, valid until the next call; undefined for a page of zeros.
   *
   * @throws DormouseError `snapshot_corrupt`: the page is not what was captured
   */
  read(page: number): Uint8Array | undefined {
    if (!Number.isInteger(page) || page < 0 || page >= this.pageCount) {
      throw new DormouseError('invalid_request', `page ${page} of a guest of ${this.pageCount} pages`);
    }
    const { starts, origins, packed } = this.map.table;
    const run = this.#cursor.seek(page);
    const origin = origins[run]!;
    if (origin === ZERO) return undefined;
    const file = this.#file(origin - 1);
    const index = packed[run]! + page - starts[run]!;
    const { framePages } = file.footer;
    const frame = Math.floor(index / framePages);
    const content = this.#frames.get(origin, frame, framePages * PAGE_SIZE, (into) =>
      file.readFrame(frame, into),
    );
    const offset = (index - frame * framePages) * PAGE_SIZE;
    return content.subarray(offset, offset + PAGE_SIZE);
  }

  /**
   * Fills `into` with the content of pages in a row, zeros included, without verifying it: for finding out what has
   * changed. Wrong bytes make a page count as changed; should they equal what the guest holds now, reading the page
   * later still fails its checksum.
   *
   * @returns false when some of it cannot be read
   */
  readUnverified(page: number, count: number, into: Buffer): boolean {
    const { table } = this.map;
    const end = page + count;
    let offset = 0;
    let at = page;
    for (let run = this.#cursor.seek(page); at < end; run++) {
      const pages = Math.min(end, runEnd(table, run)) - at;
      const origin = table.origins[run]!;
      if (origin === ZERO) into.fill(0, offset, offset + pages * PAGE_SIZE);
      else {
        const first = table.packed[run]! + at - table.starts[run]!;
        if (!this.#file(origin - 1).readUnverified(first, pages, into, offset)) return false;
      }
      at += pages;
      offset += pages * PAGE_SIZE;
    }
    return true;
  }

  /** Opens every file there is and verifies its footer, which reading else does when it first needs it. */
  openAll(): void {
    for (const index of this.#files.keys()) this.#file(index);
  }

  close(): void {
    for (const [index, file] of this.#files.entries()) {
      file?.[Symbol.dispose]();
      this.#files[index] = undefined;
    }
    this.#frames.clear();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #file(index: number): PackedPages {
    const open = this.#files[index];
    if (open !== undefined) return open;
    const source = this.map.sources[index]!;
    const file = this.#open(source);
    if (file.pageCount < this.#packedEnds[index]!) {
      file[Symbol.dispose]();
      throw corrupt(subjectOf('memory.pages', source), 'has fewer pages than are asked of it');
    }
    this.#files[index] = file;
    return file;
  }
}
