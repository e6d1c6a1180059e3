import type { PageRange } from '../page.js';
import { findRun, type RunTable, RunTableBuilder, runEnd } from './run-table.js';

/** Origin of pages whose content is all zeros; every other origin is 1 + an index into the sources. */
export const ZERO = 0;

/** Sources a map can name. Chains are cut far below; the bound is that of the column. */
export const MAX_SOURCES = 1024;

/** Some pages in a row with one origin. */
export interface PageRun extends PageRange {
  /** Generation that holds the content, or undefined where it is all zeros. */
  readonly source: string | undefined;
  /** Where the first page is among the packed pages of the source; 0 without one. */
  readonly packed: number;
}

/**
 * Where the content of every page of a guest is: nowhere, because it is all zeros, or in the packed pages of a
 * generation. Immutable; its runs are sorted, cover the guest and are as long as they can be.
 */
export class PageMap {
  readonly table: RunTable;
  /** Generations that hold content of this map, in order of first use; none without use. */
  readonly sources: readonly string[];

  /** Takes what a builder or a validating decoder has made. */
  constructor(table: RunTable, sources: readonly string[]) {
    this.table = table;
    this.sources = sources;
  }

  /** The map of a guest that has never written anything. */
  static zero(pageCount: number): PageMap {
    const builder = new RunTableBuilder(1);
    builder.append(pageCount, ZERO, 0);
    return new PageMap(builder.build(), []);
  }

  get pageCount(): number {
    return this.table.pageCount;
  }

  get runCount(): number {
    return this.table.starts.length;
  }

  run(index: number): PageRun {
    const { starts, origins, packed } = this.table;
    const start = starts[index]!;
    const origin = origins[index]!;
    return {
      start,
      count: runEnd(this.table, index) - start,
      source: origin === ZERO ? undefined : this.sources[origin - 1]!,
      packed: packed[index]!,
    };
  }

  *runs(): IterableIterator<PageRun> {
    for (let index = 0; index < this.runCount; index++) yield this.run(index);
  }

  /** The run that holds `page`. */
  find(page: number): number {
    return findRun(this.table, page);
  }

  /** First page from `page` on that has content, or −1. */
  nextPopulated(page: number): number {
    if (page >= this.pageCount) return -1;
    const index = this.find(page);
    if (this.table.origins[index] !== ZERO) return page;
    // Runs of zeros are never adjacent, so what follows one has content.
    return index + 1 < this.runCount ? this.table.starts[index + 1]! : -1;
  }

  /** The pages that have content, as few ranges as possible. */
  *populatedRanges(): IterableIterator<PageRange> {
    const { starts, origins } = this.table;
    for (let index = 0; index < this.runCount; index++) {
      if (origins[index] === ZERO) continue;
      const start = starts[index]!;
      while (index + 1 < this.runCount && origins[index + 1] !== ZERO) index += 1;
      yield { start, count: runEnd(this.table, index) - start };
    }
  }

  /** How many pages have content. */
  populatedPages(): number {
    let pages = 0;
    for (const range of this.populatedRanges()) pages += range.count;
    return pages;
  }

  /** One more than the largest packed index that is used of each source: what its file must hold at least. */
  packedEnds(): Float64Array {
    const { starts, origins, packed } = this.table;
    const ends = new Float64Array(this.sources.length);
    for (let index = 0; index < this.runCount; index++) {
      const origin = origins[index]!;
      if (origin === ZERO) continue;
      const end = packed[index]! + runEnd(this.table, index) - starts[index]!;
      if (end > ends[origin - 1]!) ends[origin - 1] = end;
    }
    return ends;
  }
}

/** Finds runs of pages that are mostly asked for one after the other, without searching for each. */
export class PageMapCursor {
  readonly #table: RunTable;
  #index = 0;

  constructor(map: PageMap) {
    this.#table = map.table;
  }

  /** The run that holds `page`, which must be below the map's page count. */
  seek(page: number): number {
    const table = this.#table;
    if (page >= table.starts[this.#index]!) {
      if (page < runEnd(table, this.#index)) return this.#index;
      const next = this.#index + 1;
      if (next < table.starts.length && page < runEnd(table, next)) {
        this.#index = next;
        return next;
      }
    }
    this.#index = findRun(table, page);
    return this.#index;
  }
}

/** Collects the runs of a map from the first page to the last. Sources that nothing refers to are left out. */
export class PageMapBuilder {
  readonly #runs = new RunTableBuilder(1);
  readonly #origins = new Map<string, number>();

  appendZero(count: number): void {
    this.#runs.append(count, ZERO, 0);
  }

  append(count: number, source: string, packed: number): void {
    if (count === 0) return;
    let origin = this.#origins.get(source);
    if (origin === undefined) {
      origin = this.#origins.size + 1;
      this.#origins.set(source, origin);
    }
    this.#runs.append(count, origin, packed);
  }

  build(): PageMap {
    return new PageMap(this.#runs.build(), [...this.#origins.keys()]);
  }
}
