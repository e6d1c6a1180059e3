import {
  captureMemory,
  type GenerationMemory,
  inheritWorkingSet,
  openMemory,
  readWorkingSet,
} from '@dormouse/snapshot';
import type { Captured, CaptureJob } from './jobs.js';

/**
 * Captures the memory of a stopped VM against its parent.
 *
 * @throws DormouseError `no_space`, `snapshot_corrupt` (the parent's), `snapshot_incompatible`, `not_found`
 */
export function capture(job: CaptureJob): Captured {
  const startedMs = performance.now();
  const place = { root: job.root };
  let parent: GenerationMemory | undefined;
  try {
    if (job.parentId !== undefined) parent = openMemory(place, job.parentId);
    const { map, counts, bytes } = captureMemory({
      ramPath: job.ramPath,
      pageCount: job.pageCount,
      into: job.into,
      ...(parent === undefined ? {} : { parent }),
    });
    const known = job.parentId === undefined ? [] : readWorkingSet(place, job.parentId, job.pageCount).pages;
    // After a boot everything has changed: nothing is known yet, so the first restore records.
    const workingSet = known.length === 0 ? [] : inheritWorkingSet(known, map, job.into.id);
    return { counts, bytes, workingSet, ms: performance.now() - startedMs };
  } finally {
    parent?.[Symbol.dispose]();
  }
}
