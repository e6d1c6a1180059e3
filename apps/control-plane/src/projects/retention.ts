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
 * never one that is pinned, and never one that is in use, however old restoring it has made it.
 *
 * @param newestFirst all moments of the project
 * @param inUse what the project opens with, and what it is going back to
 */
export function expiredMoments(
  newestFirst: readonly KeptMoment[],
  keepLast: number,
  inUse: readonly (string | null)[],
): string[] {
  return newestFirst
    .filter(({ description }) => description === null)
    .slice(keepLast)
    .filter(({ id, pinned }) => !inUse.includes(id) && !pinned)
    .map(({ id }) => id);
}
