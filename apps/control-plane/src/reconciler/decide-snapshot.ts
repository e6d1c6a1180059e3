import type { SnapshotState } from '@dormouse/store';
import type { Circumstances, HostView } from './decide.js';

/** A snapshot as the database has it. */
export interface SnapshotRowView {
  readonly state: SnapshotState;
  readonly stateChangedAt: Date;
  readonly ownBytes: number | null;
  readonly totalBytes: number | null;
}

/** A snapshot as the host has it: it lists what it has committed. */
export interface SnapshotHostView {
  readonly ownBytes: number;
  readonly totalBytes: number;
}

/** What to do about one snapshot. */
export type SnapshotDecision =
  | { readonly action: 'nothing' }
  /** The host has committed it, and whoever asked for it did not live to record that. */
  | { readonly action: 'finish_creating' }
  /** It was never taken, and whoever asked for it is gone. */
  | { readonly action: 'give_up' }
  /** Its deletion was begun and not finished. */
  | { readonly action: 'finish_deleting' }
  /** The host has what is deleted: it came after all. */
  | { readonly action: 'delete_on_host' }
  /** What it takes has changed: others that shared with it have come or gone. */
  | { readonly action: 'resize' }
  /** The host does not have what should be ready. Nothing is given up: the host may get its data back. */
  | { readonly action: 'report_missing' }
  /** The host holds what this database has never heard of: it may be another database's, so it stays. */
  | { readonly action: 'leave_unknown' };

const NOTHING: SnapshotDecision = { action: 'nothing' };

/**
 * Decides for one snapshot what makes database and host agree again.
 *
 * @param row undefined: the database has never had a snapshot of this id
 * @param host undefined: the host has none
 * @param sandbox state on the host of the sandbox it is taken from; undefined: the host has none
 */
export function decideSnapshot(
  row: SnapshotRowView | undefined,
  host: SnapshotHostView | undefined,
  sandbox: HostView['state'] | undefined,
  { askedAt, abandoned, inFlight }: Circumstances,
): SnapshotDecision {
  if (inFlight) return NOTHING;
  if (row === undefined) return host === undefined ? NOTHING : { action: 'leave_unknown' };
  if (row.stateChangedAt >= askedAt) return NOTHING;
  switch (row.state) {
    case 'creating': {
      if (!abandoned) return NOTHING;
      if (host !== undefined) return { action: 'finish_creating' };
      // The host may be taking it this very moment, for a caller that is gone.
      return sandbox === 'snapshotting' ? NOTHING : { action: 'give_up' };
    }
    case 'ready':
      if (host === undefined) return { action: 'report_missing' };
      if (host.ownBytes === row.ownBytes && host.totalBytes === row.totalBytes) return NOTHING;
      return { action: 'resize' };
    case 'deleting':
      return { action: 'finish_deleting' };
    case 'deleted':
      return host === undefined ? NOTHING : { action: 'delete_on_host' };
  }
}
