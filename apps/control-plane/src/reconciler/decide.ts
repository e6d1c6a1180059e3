import { isFinal, type SandboxState } from '@dormouse/lifecycle';

/** A sandbox as the database has it. */
export interface RowView {
  readonly id: string;
  readonly state: SandboxState;
  readonly generation: number;
  readonly createdAt: Date;
  readonly stateChangedAt: Date;
  readonly lastActiveAt: Date | null;
  /** Somebody asked for its end. */
  readonly deleted: boolean;
}

/** A sandbox as the host has it. */
export interface HostView {
  readonly id: string;
  readonly generation: number;
  readonly state: 'pending' | 'running' | 'stopping' | 'stopped';
  /** Why it stopped; may be empty. */
  readonly reason: string;
  readonly startedAt: Date;
  readonly lastActiveAt: Date;
}

/** When and by whom the two were looked at. */
export interface Circumstances {
  /** The database's clock just before the host was asked. What changed later is not judged. */
  readonly askedAt: Date;
  /** When this process began, by the same clock. */
  readonly processStartedAt: Date;
  /** This process is changing the sandbox itself. */
  readonly inFlight: boolean;
}

/** What to do about one sandbox. */
export type Decision =
  | { readonly action: 'nothing' }
  /** Its VM has ended by itself. */
  | { readonly action: 'record_stopped'; readonly reason: string }
  /** It was made, and whoever asked for it did not live to record that. */
  | { readonly action: 'adopt'; readonly startedAt: Date; readonly lastActiveAt: Date }
  /** It was never made, and whoever asked for it is gone. */
  | { readonly action: 'record_error'; readonly reason: string }
  /** Its destruction was begun and not finished. */
  | { readonly action: 'finish_stopping' }
  /** The host holds what somebody has asked to be gone. */
  | { readonly action: 'destroy_on_host' }
  /** The host holds what this database has never heard of: it may be another database's, so it stays. */
  | { readonly action: 'leave_unknown' }
  /** It was active since. */
  | { readonly action: 'touch'; readonly lastActiveAt: Date };

/** A creation of another control plane that is this old has lost its creator. */
export const ABANDONED_AFTER_MS: number = 10 * 60 * 1000;

/** Activity is recorded this coarsely: it is shown, not decided by. */
export const TOUCH_PRECISION_MS = 10_000;

const NOTHING: Decision = { action: 'nothing' };

/**
 * Decides for one sandbox what makes database and host agree again. Never guesses: where the two views may be of
 * different moments or different generations, it waits.
 *
 * A sandbox that has ended by itself keeps its disk on the host until somebody deletes it.
 *
 * @param row undefined: the database has never had a sandbox of this id
 * @param host undefined: the host has none
 */
export function decide(
  row: RowView | undefined,
  host: HostView | undefined,
  circumstances: Circumstances,
): Decision {
  if (circumstances.inFlight) return NOTHING;
  if (row === undefined) return host === undefined ? NOTHING : { action: 'leave_unknown' };
  if (row.stateChangedAt >= circumstances.askedAt) return NOTHING;
  if (row.state === 'stopping') return { action: 'finish_stopping' };
  if (host !== undefined && row.deleted && isFinal(row.state)) return { action: 'destroy_on_host' };
  if (host !== undefined && host.generation !== row.generation) return NOTHING;
  switch (row.state) {
    case 'pending':
      return decidePending(row, host, circumstances);
    case 'running':
      return decideRunning(row, host);
    case 'snapshotting':
    case 'pausing':
    case 'paused':
    case 'resuming':
    case 'stopped':
      return NOTHING;
    case 'error':
      return host === undefined ? NOTHING : { action: 'destroy_on_host' };
  }
}

function decidePending(row: RowView, host: HostView | undefined, circumstances: Circumstances): Decision {
  switch (host?.state) {
    case 'running':
      return { action: 'adopt', startedAt: host.startedAt, lastActiveAt: host.lastActiveAt };
    case 'pending':
      return NOTHING;
    case 'stopping':
    case 'stopped':
    case undefined: {
      const ageMs = circumstances.askedAt.getTime() - row.createdAt.getTime();
      const abandoned = row.createdAt < circumstances.processStartedAt || ageMs > ABANDONED_AFTER_MS;
      if (!abandoned) return NOTHING;
      return { action: 'record_error', reason: because('its creation was interrupted', host?.reason) };
    }
  }
}

function decideRunning(row: RowView, host: HostView | undefined): Decision {
  switch (host?.state) {
    case undefined:
      return { action: 'record_stopped', reason: 'the host no longer has it' };
    case 'stopped':
      return { action: 'record_stopped', reason: because('its virtual machine ended', host.reason) };
    case 'stopping':
    case 'pending':
      return NOTHING;
    case 'running': {
      const known = row.lastActiveAt?.getTime() ?? 0;
      const later = host.lastActiveAt.getTime() - known;
      return later >= TOUCH_PRECISION_MS ? { action: 'touch', lastActiveAt: host.lastActiveAt } : NOTHING;
    }
  }
}

function because(fact: string, reason: string | undefined): string {
  return reason === undefined || reason === '' ? fact : `${fact}: ${reason}`;
}
