import { type PageMap, PageMapBuilder, ZERO } from './page-map.js';
import { type RunTable, RunTableBuilder, runEnd } from './run-table.js';

/** The page is what it was in the parent, be that zeros or content. */
const UNCHANGED = 0;
/** The page had content in the parent and is all zeros now. */
const ZEROED = 1;
/** The page has content that the parent does not have there. */
const CHANGED = 2;

/**
 * How a guest's memory differs from its parent's. Unchanged, zeroed and changed are three different things: a page of
 * zeros is never taken for one that need not be looked at.
 */
export interface MemoryDiff {
  readonly table: RunTable;
}

/** What became of the pages of a guest since the parent. Their sum is the guest's page count. */
export interface PageCounts {
  /** Content, the same as before. */
  readonly unchanged: number;
  /** Content that is new. */
  readonly changed: number;
  /** Content before, zeros now. */
  readonly zeroed: number;
  /** Zeros before and now. */
  readonly zero: number;
}

/** Collects a diff from the first page to the last. */
export class MemoryDiffBuilder {
  readonly #runs = new RunTableBuilder(CHANGED);

  /** First page that has not been told about yet. */
  get end(): number {
    return this.#runs.end;
  }

  appendUnchanged(count: number): void {
    this.#runs.append(count, UNCHANGED, 0);
  }

  appendZeroed(count: number): void {
    this.#runs.append(count, ZEROED, 0);
  }

  /** @param packed where the first of the pages is among the packed pages of the new generation */
  appendChanged(count: number, packed: number): void {
    this.#runs.append(count, CHANGED, packed);
  }

  build(): MemoryDiff {
    return { table: this.#runs.build() };
  }
}

/** The map of the generation that differs from `parent` by `diff` and keeps changed pages of its own. */
export function applyDiff(parent: PageMap, diff: MemoryDiff, newGeneration: string): PageMap {
  const builder = new PageMapBuilder();
  overlay(parent, diff, (kind, count, packed, origin) => {
    if (kind === CHANGED) builder.append(count, newGeneration, packed);
    else if (kind === ZEROED || origin === ZERO) builder.appendZero(count);
    else builder.append(count, parent.sources[origin - 1]!, packed);
  });
  return builder.build();
}

/** Counts what became of the pages of `parent`. */
export function countPages(parent: PageMap, diff: MemoryDiff): PageCounts {
  const counts = { unchanged: 0, changed: 0, zeroed: 0, zero: 0 };
  overlay(parent, diff, (kind, count, _packed, origin) => {
    if (kind === CHANGED) counts.changed += count;
    else if (origin === ZERO) counts.zero += count;
    else if (kind === ZEROED) counts.zeroed += count;
    else counts.unchanged += count;
  });
  return counts;
}

/**
 * Visits the pages in runs that neither parent nor diff divides. `packed` is the packed index of the run's first page:
 * in the new generation for changed pages, else in the parent's source.
 */
function overlay(
  parent: PageMap,
  diff: MemoryDiff,
  visit: (kind: number, count: number, packed: number, parentOrigin: number) => void,
): void {
  const below = parent.table;
  const above = diff.table;
  if (below.pageCount !== above.pageCount) {
    throw new RangeError(`a diff of ${above.pageCount} pages does not fit a map of ${below.pageCount}`);
  }
  let page = 0;
  let i = 0;
  for (let j = 0; j < above.starts.length; j++) {
    const kind = above.origins[j]!;
    const end = runEnd(above, j);
    while (page < end) {
      const parentEnd = runEnd(below, i);
      const next = Math.min(end, parentEnd);
      const table = kind === CHANGED ? above : below;
      const run = kind === CHANGED ? j : i;
      visit(kind, next - page, table.packed[run]! + page - table.starts[run]!, below.origins[i]!);
      page = next;
      if (page === parentEnd) i += 1;
    }
  }
}
