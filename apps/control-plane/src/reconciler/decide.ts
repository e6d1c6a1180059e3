import { canFollow, isFinal, type SandboxState } from '@dormouse/lifecycle';

/** A sandbox as the database has it. */
export interface RowView {
  readonly id: string;
  readonly state: SandboxState;
  readonly generation: number;
  readonly createdAt: Date;
  readonly stateChangedAt: Date;
  readonly lastActiveAt: Date | null;
  /** What is said about its state; may be null. */
  readonly reason: string | null;
  /** Somebody asked for its end. */
  readonly deleted: boolean;
}

/** A sandbox as the host has it. */
export interface HostView {
  readonly id: string;
  readonly generation: number;
  readonly state: Exclude<SandboxState, 'error'>;
  /** Why it is so, when nobody asked for that; may be empty. */
  readonly reason: string;
  readonly startedAt: Date;
  readonly lastActiveAt: Date;
  /** Means something only while it is paused. */
  readonly pausedAt: Date;
  readonly resumedBy: 'memory' | 'reboot' | null;
  /** Why it is paused, when nobody asked for it: the host tells of that itself. */
  readonly pauseCause: 'timeout' | 'shutdown' | 'vm_ended' | null;
}

/** When and by whom the two were looked at. */
export interface Circumstances {
  /** The database's clock just before the host was asked. What changed later is not judged. */
  readonly askedAt: Date;
  /** The control plane that brought it where it is does not work on it any more: it is gone, or done. */
  readonly abandoned: boolean;
  /** This process is changing the sandbox itself. */
  readonly inFlight: boolean;
}

/** What to do about one sandbox. */
export type Decision =
  | { readonly action: 'nothing' }
  /** Its VM has ended by itself. */
  | { readonly action: 'record_stopped'; readonly reason: string; readonly told: boolean }
  /** It was made, and whoever asked for it did not live to record that. */
  | { readonly action: 'adopt'; readonly startedAt: Date; readonly lastActiveAt: Date }
  /** The host is elsewhere, by moves of its own or by moves that nobody lived to record. */
  | {
      readonly action: 'follow';
      readonly to: 'running' | 'paused' | 'resuming';
      /** Never lower than the row's. */
      readonly generation: number;
      /** What is to be said about it. */
      readonly reason: string | null;
      /** The host tells of it itself. */
      readonly told: boolean;
    }
  /** It stays as it is, and this is to be said about it. */
  | { readonly action: 'note'; readonly reason: string | null }
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

/** Activity is recorded this coarsely: it is shown, not decided by. */
export const TOUCH_PRECISION_MS = 10_000;

/** Said of a paused sandbox that its host does not have. It is not given up: the host may get its data back. */
export const LOST_BY_HOST = 'the host no longer has it';

const NOTHING: Decision = { action: 'nothing' };

/**
 * Decides for one sandbox what makes database and host agree again. Never guesses: where the two views may be of
 * different moments, it waits.
 *
 * The host may be generations ahead (it resumes by itself what its own shutdown has paused) and is followed. A report
 * of an earlier generation never changes a later row. A row that is `resuming` in a generation the host has never
 * begun goes back to `paused` once nobody is at work on it any more.
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
  const current = host === undefined || host.generation >= row.generation ? host : undefined;
  const outdated = host !== current;
  switch (row.state) {
    case 'pending':
      return outdated ? NOTHING : decidePending(row, current, circumstances);
    case 'running':
      return outdated ? NOTHING : decideRunning(row, current);
    case 'snapshotting':
    case 'pausing':
      return outdated ? NOTHING : decideLeaving(row, current, circumstances);
    case 'paused':
      return decidePaused(row, host, current);
    case 'resuming':
      return decideResuming(row, host, current, circumstances);
    case 'stopped':
      return NOTHING;
    case 'error':
      return host === undefined ? NOTHING : { action: 'destroy_on_host' };
  }
}

/** While the control plane that makes it is at work, only that one moves it: it answers what came of it. */
function decidePending(row: RowView, host: HostView | undefined, { abandoned }: Circumstances): Decision {
  if (!abandoned) return NOTHING;
  switch (host?.state) {
    case 'running':
    case 'snapshotting':
      if (host.generation > row.generation) return follow(row, host, 'running');
      return { action: 'adopt', startedAt: host.startedAt, lastActiveAt: host.lastActiveAt };
    case 'paused':
      return follow(row, host, 'paused');
    case 'resuming':
      return follow(row, host, 'resuming');
    case 'pending':
    case 'pausing':
      return NOTHING;
    case 'stopping':
    case 'stopped':
    case undefined:
      return { action: 'record_error', reason: because('its creation was interrupted', host?.reason) };
  }
}

function decideRunning(row: RowView, host: HostView | undefined): Decision {
  switch (host?.state) {
    case undefined:
    case 'stopped':
      return ended(host);
    case 'stopping':
    case 'pending':
    case 'pausing':
      return NOTHING;
    case 'paused':
      return follow(row, host, 'paused');
    case 'resuming':
      return host.generation > row.generation ? follow(row, host, 'resuming') : NOTHING;
    case 'running':
    case 'snapshotting': {
      if (host.generation > row.generation) return follow(row, host, 'running');
      const known = row.lastActiveAt?.getTime() ?? 0;
      const later = host.lastActiveAt.getTime() - known;
      return later >= TOUCH_PRECISION_MS ? { action: 'touch', lastActiveAt: host.lastActiveAt } : NOTHING;
    }
  }
}

/** A row that is `snapshotting` or `pausing`: its VM ran when that began. */
function decideLeaving(row: RowView, host: HostView | undefined, circumstances: Circumstances): Decision {
  switch (host?.state) {
    case undefined:
    case 'stopped':
      return ended(host);
    case 'stopping':
    case 'pending':
    case 'pausing':
      return NOTHING;
    case 'paused':
      return follow(row, host, 'paused');
    case 'resuming':
      return host.generation > row.generation ? follow(row, host, 'resuming') : NOTHING;
    case 'snapshotting':
      return host.generation > row.generation ? follow(row, host, 'running') : NOTHING;
    case 'running':
      if (host.generation > row.generation) return follow(row, host, 'running');
      return circumstances.abandoned ? follow(row, host, 'running') : NOTHING;
  }
}

function decidePaused(row: RowView, host: HostView | undefined, current: HostView | undefined): Decision {
  if (host === undefined) {
    return row.reason === LOST_BY_HOST ? NOTHING : { action: 'note', reason: LOST_BY_HOST };
  }
  switch (current?.state) {
    case 'running':
    case 'snapshotting':
      return follow(row, current, 'running');
    case 'resuming':
      return follow(row, current, 'resuming');
    case 'stopped':
      return ended(current);
    case 'paused':
      if (current.generation > row.generation) return follow(row, current, 'paused');
      break;
    case 'pending':
    case 'pausing':
    case 'stopping':
    case undefined:
      break;
  }
  return row.reason === LOST_BY_HOST ? { action: 'note', reason: null } : NOTHING;
}

function decideResuming(
  row: RowView,
  host: HostView | undefined,
  current: HostView | undefined,
  circumstances: Circumstances,
): Decision {
  switch (current?.state) {
    case 'running':
    case 'snapshotting':
      return follow(row, current, 'running');
    case 'stopped':
      return ended(current);
    case 'resuming':
      return current.generation > row.generation ? follow(row, current, 'resuming') : NOTHING;
    case 'pending':
    case 'pausing':
    case 'stopping':
      return NOTHING;
    case 'paused':
      if (current.generation > row.generation) return follow(row, current, 'paused');
      break;
    case undefined:
      break;
  }
  if (!circumstances.abandoned) return NOTHING;
  const reason = host === undefined ? LOST_BY_HOST : null;
  return { action: 'follow', to: 'paused', generation: row.generation, reason, told: false };
}

function follow(row: RowView, host: HostView, to: 'running' | 'paused' | 'resuming'): Decision {
  const { generation } = host;
  if (!canFollow(row, { state: to, generation })) return NOTHING;
  const told = isTold(row, host, to);
  return { action: 'follow', to, generation, reason: host.reason === '' ? null : host.reason, told };
}

function ended(host: HostView | undefined): Decision {
  const reason = host === undefined ? LOST_BY_HOST : because('its virtual machine ended', host.reason);
  return { action: 'record_stopped', reason, told: host !== undefined };
}

/**
 * Whether the host did it by itself, and so tells of it. It resumes by itself what nobody was asked to resume, in a
 * generation of its own: what runs in the generation of a row that is `paused` was asked for by somebody who was told
 * that it had failed, or who is gone.
 */
function isTold(row: RowView, host: HostView, to: 'running' | 'paused' | 'resuming'): boolean {
  if (to === 'paused') return host.pauseCause !== null;
  if (row.state === 'paused') return host.generation > row.generation;
  return row.state !== 'pausing' && row.state !== 'resuming';
}

/** A fact with its reason, where there is one. */
export function because(fact: string, reason: string | undefined): string {
  return reason === undefined || reason === '' ? fact : `${fact}: ${reason}`;
}
