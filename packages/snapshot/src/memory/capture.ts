import { closeSync, openSync, readSync } from 'node:fs';
import { DormouseError } from '@dormouse/errors';
import { storageError } from '../errors.js';
import { type PackedPagesOptions, PackedPagesWriter } from '../packed-pages/packed-pages-writer.js';
import { PAGE_SIZE, type PageRange } from '../page.js';
import { applyDiff, countPages, MemoryDiffBuilder, type PageCounts } from '../page-map/memory-diff.js';
import { PageMap } from '../page-map/page-map.js';
import { encodePageMap } from '../page-map/page-map-codec.js';
import { writeNewFile } from '../write-file.js';
import { dataRanges } from './extents.js';

/** Memory is read and compared in pieces of 256 KiB: system calls are rare, and both sides stay in the cache. */
const CHUNK_PAGES = 64;
const CHUNK_BYTES = CHUNK_PAGES * PAGE_SIZE;

/** What is equal is mostly equal in large pieces; only blocks that differ are looked at page by page. */
const BLOCK_PAGES = 16;

const ZEROS = Buffer.alloc(BLOCK_PAGES * PAGE_SIZE);

/** What a guest's memory is compared with: an opened generation. */
export interface ParentMemory {
  readonly map: PageMap;
  readUnverified(page: number, count: number, into: Buffer): boolean;
}

/** Where a capture goes: a draft, or what a worker was told of one. */
export interface CaptureTarget {
  readonly id: string;
  readonly pagesPath: string;
  readonly mapPath: string;
}

export interface CaptureOptions extends PackedPagesOptions {
  /** The guest's memory: a file that nobody writes to while it is captured. */
  readonly ramPath: string;
  readonly pageCount: number;
  /** What the guest was restored from. Without it every page that is not zero counts as changed. */
  readonly parent?: ParentMemory;
  readonly into: CaptureTarget;
  /** Pages that can hold anything but zeros, in order. Found out when it pays, if not given. */
  readonly ranges?: readonly PageRange[];
  /** Called when `pages-written` and `map-written`. */
  readonly onStep?: (step: CaptureStep) => void;
}

/** Named moments of a capture. */
export type CaptureStep = 'pages-written' | 'map-written';

export interface CapturedMemory {
  readonly map: PageMap;
  readonly counts: PageCounts;
  /** Size of `memory.pages` and `memory.map`. */
  readonly bytes: number;
}

/**
 * Writes what a guest's memory has that its parent's has not. Compares content, so nothing has to be tracked while the
 * guest runs, and costs what the populated memory costs to read. Synchronous, with constant memory: made for a
 * process of its own. What it writes is made durable by the commit.
 *
 * The parent's bytes are compared as they are, not verified: a damaged page only counts as changed.
 *
 * @throws DormouseError `no_space`: the disk is full; `internal`: the memory cannot be read
 */
export function captureMemory(options: CaptureOptions): CapturedMemory {
  const { pageCount, into } = options;
  const parentMap = options.parent?.map ?? PageMap.zero(pageCount);
  if (parentMap.pageCount !== pageCount) {
    throw new DormouseError(
      'snapshot_incompatible',
      `a guest of ${pageCount} pages has no parent of ${parentMap.pageCount} pages`,
    );
  }
  try {
    const ram = openSync(options.ramPath, 'r');
    try {
      using writer = new PackedPagesWriter(into.pagesPath, into.id, options);
      const comparison = new Comparison(ram, parentMap, options.parent, writer);
      let page = 0;
      for (const range of options.ranges ?? dataRanges(ram, options.ramPath, pageCount)) {
        if (range.start < page || range.count < 0 || range.start + range.count > pageCount) {
          throw new RangeError('ranges must be in order and inside the guest');
        }
        comparison.hole(range.start - page);
        comparison.data(range.count);
        page = range.start + range.count;
      }
      comparison.hole(pageCount - page);
      const written = writer.finish();
      options.onStep?.('pages-written');
      const diff = comparison.diff.build();
      const map = applyDiff(parentMap, diff, into.id);
      const encoded = encodePageMap(map);
      writeNewFile(into.mapPath, encoded);
      options.onStep?.('map-written');
      return { map, counts: countPages(parentMap, diff), bytes: written.bytes + encoded.length };
    } finally {
      closeSync(ram);
    }
  } catch (error) {
    throw storageError(`capturing ${options.ramPath}`, error);
  }
}

/** One pass over the guest's memory, from the first page to the last. */
class Comparison {
  readonly diff = new MemoryDiffBuilder();
  readonly #ram: number;
  readonly #parentMap: PageMap;
  readonly #parent: ParentMemory | undefined;
  readonly #writer: PackedPagesWriter;
  readonly #now = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  readonly #before = Buffer.alloc(CHUNK_BYTES);

  constructor(ram: number, parentMap: PageMap, parent: ParentMemory | undefined, writer: PackedPagesWriter) {
    this.#ram = ram;
    this.#parentMap = parentMap;
    this.#parent = parent;
    this.#writer = writer;
  }

  /** Pages that are zeros without looking: what had content has been zeroed. */
  hole(count: number): void {
    const end = this.diff.end + count;
    while (this.diff.end < end) {
      const next = this.#parentMap.nextPopulated(this.diff.end);
      const populated = next === -1 || next > end ? end : next;
      this.diff.appendUnchanged(populated - this.diff.end);
      if (this.diff.end < end) this.diff.appendZeroed(Math.min(end, this.#populatedEnd()) - this.diff.end);
    }
  }

  /** Pages to look at. */
  data(count: number): void {
    const end = this.diff.end + count;
    while (this.diff.end < end) this.#chunk(Math.min(CHUNK_PAGES, end - this.diff.end));
  }

  #chunk(pages: number): void {
    const first = this.diff.end;
    const length = pages * PAGE_SIZE;
    readRam(this.#ram, this.#now.subarray(0, length), first * PAGE_SIZE);
    const known = this.#parent?.readUnverified(first, pages, this.#before) ?? true;
    for (let page = 0; page < pages; page += BLOCK_PAGES) {
      const count = Math.min(BLOCK_PAGES, pages - page);
      if (known && this.#equal(page, count)) this.diff.appendUnchanged(count);
      else for (let single = page; single < page + count; single++) this.#page(single, known);
    }
  }

  #page(page: number, known: boolean): void {
    if (known && this.#equal(page, 1)) this.diff.appendUnchanged(1);
    else if (this.#now.compare(ZEROS, 0, PAGE_SIZE, page * PAGE_SIZE, (page + 1) * PAGE_SIZE) === 0) {
      this.diff.appendZeroed(1);
    } else this.diff.appendChanged(1, this.#writer.append(this.#now, page * PAGE_SIZE, 1));
  }

  #equal(page: number, count: number): boolean {
    const from = page * PAGE_SIZE;
    const to = from + count * PAGE_SIZE;
    return this.#now.compare(this.#before, from, to, from, to) === 0;
  }

  /** Behind the populated run of the parent that the next page lies in. */
  #populatedEnd(): number {
    const { start, count } = this.#parentMap.run(this.#parentMap.find(this.diff.end));
    return start + count;
  }
}

function readRam(fd: number, into: Buffer, position: number): void {
  let length = 0;
  while (length < into.length) {
    const read = readSync(fd, into, length, into.length - length, position + length);
    if (read === 0)
      throw new DormouseError('internal', 'the memory of the guest is shorter than it should be');
    length += read;
  }
}
