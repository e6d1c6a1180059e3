import type { PageMap } from '../page-map/page-map.js';

/** Bounds of a working set, and when it is worth recording anew. */
export interface WorkingSetLimits {
  /** Most pages in a set: what is sent ahead delays the start. Default 8,192 (32 MiB). */
  readonly maxPages?: number;
  /** Missed pages that are nothing to worry about. Default 64. */
  readonly toleratedMisses?: number;
  /** Share of the set that may be missed before the set counts as outdated. Default 0.25. */
  readonly driftRatio?: number;
}

export const DEFAULT_LIMITS: Required<WorkingSetLimits> = {
  maxPages: 8192,
  toleratedMisses: 64,
  driftRatio: 0.25,
};

export interface MergedWorkingSet {
  readonly pages: readonly number[];
  /**
   * The guest now touches other pages than it did: the next restore should send nothing ahead and record, because what
   * is sent is never asked for, so nobody learns which of it is needed.
   */
  readonly drifted: boolean;
}

/**
 * What a restore has taught: pages sent ahead stay, pages that had to be asked for are added in the order of asking.
 * Where there is no room for all, those that were asked for surely matter and the tail of the old set goes.
 *
 * @param previous what was sent ahead; empty when the restore was recording
 * @param requested what the guest then asked for before it answered, in order
 */
export function mergeWorkingSet(
  previous: readonly number[],
  requested: readonly number[],
  limits: WorkingSetLimits = {},
): MergedWorkingSet {
  const { maxPages, toleratedMisses, driftRatio } = { ...DEFAULT_LIMITS, ...limits };
  const known = new Set(previous);
  const missed = [...new Set(requested)].filter((page) => !known.has(page));
  const kept = [...known].slice(0, Math.max(0, maxPages - missed.length));
  const drifted = known.size > 0 && missed.length > Math.max(toleratedMisses, known.size * driftRatio);
  return { pages: [...kept, ...missed].slice(0, maxPages), drifted };
}

/**
 * What a new generation begins with: its parent's set, then the pages that have changed since, which the guest was
 * busy with when it was frozen. Pages that are zeros now need not be sent.
 *
 * @param map of the new generation
 * @param id of the new generation, in whose packed pages the changed ones are
 */
export function inheritWorkingSet(
  parent: readonly number[],
  map: PageMap,
  id: string,
  limits: WorkingSetLimits = {},
): readonly number[] {
  const { maxPages } = { ...DEFAULT_LIMITS, ...limits };
  const pages = new Set<number>();
  for (const page of parent) {
    if (pages.size === maxPages) break;
    if (page < map.pageCount && map.nextPopulated(page) === page) pages.add(page);
  }
  for (const run of map.runs()) {
    if (run.source !== id) continue;
    for (let page = run.start; page < run.start + run.count; page++) {
      if (pages.size >= maxPages) return [...pages];
      pages.add(page);
    }
  }
  return [...pages];
}
