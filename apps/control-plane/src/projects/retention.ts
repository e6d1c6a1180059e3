/** A kept moment, as retention sees it. */
export interface KeptMoment {
  readonly id: string;
  /** null: it was kept automatically. */
  readonly description: string | null;
  /** Kept whatever else says so: restoring it has failed, and it may be the only good copy. */
  readonly pinned: boolean;
}

/**
 * Which moments of a project are to go: automatic ones beyond the newest `keepLast`. Never one with a description,
 * never one that is pinned, and never the one the project opens with, however old restoring it has made it.
 *
 * @param newestFirst all moments of the project
 */
export function expiredMoments(
  newestFirst: readonly KeptMoment[],
  keepLast: number,
  headId: string | null,
): string[] {
  return newestFirst
    .filter(({ description }) => description === null)
    .slice(keepLast)
    .filter(({ id, pinned }) => id !== headId && !pinned)
    .map(({ id }) => id);
}
