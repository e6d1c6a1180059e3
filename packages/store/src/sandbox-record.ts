import type { LifecyclePosition, SandboxState } from '@dormouse/lifecycle';
import type { Selectable } from 'kysely';
import { columns } from './columns.js';
import type { SandboxesTable } from './schema.js';

type SandboxColumn = Exclude<keyof SandboxesTable, 'envs'>;

/** All but the environment, which may be large and is needed by few: see `TeamSandboxes.envsOf`. */
export const SANDBOX_COLUMNS: readonly SandboxColumn[] = columns<SandboxColumn>({
  id: true,
  team_id: true,
  state: true,
  generation: true,
  reason: true,
  template: true,
  image_id: true,
  parent_snapshot: true,
  vcpus: true,
  memory_mb: true,
  disk_mb: true,
  timeout_sec: true,
  on_timeout: true,
  on_memory_loss: true,
  internet: true,
  metadata: true,
  host_id: true,
  resumed_by: true,
  created_at: true,
  state_changed_at: true,
  moved_by: true,
  started_at: true,
  last_active_at: true,
  expires_at: true,
  paused_at: true,
  deleted_at: true,
  deleted_by: true,
});

type ReconciledColumn =
  | 'id'
  | 'state'
  | 'generation'
  | 'reason'
  | 'created_at'
  | 'state_changed_at'
  | 'moved_by'
  | 'last_active_at'
  | 'paused_at'
  | 'deleted_at';

/** What the reconciler decides by, for every sandbox that has not ended, every few seconds. */
export const RECONCILED_COLUMNS: readonly ReconciledColumn[] = columns<ReconciledColumn>({
  id: true,
  state: true,
  generation: true,
  reason: true,
  created_at: true,
  state_changed_at: true,
  moved_by: true,
  last_active_at: true,
  paused_at: true,
  deleted_at: true,
});

/** A sandbox as the reconciler reads it. */
export type ReconciledSandbox = Readonly<Pick<Selectable<SandboxesTable>, ReconciledColumn>>;

/** A sandbox as it is stored, without its environment. */
export type SandboxRecord = Readonly<Pick<Selectable<SandboxesTable>, SandboxColumn>> & {
  /** Of its host, where that was looked up; it answered just now where it was not. */
  readonly host_state?: 'online' | 'unreachable' | null;
};

/** What is known of a sandbox before it exists anywhere. */
export interface NewSandbox {
  readonly id: string;
  readonly template: string;
  readonly imageId: string;
  readonly vcpus: number;
  readonly memoryMb: number;
  readonly diskMb: number;
  readonly timeoutSec: number;
  readonly onTimeout: 'pause' | 'kill';
  readonly onMemoryLoss: 'reboot' | 'fail';
  readonly internet: boolean;
  readonly envs: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly hostId: string;
  /** Id of the snapshot it begins with; none: a template. */
  readonly parentSnapshot?: string | null;
}

/** What may change together with a state. */
export interface TransitionChanges {
  readonly reason?: string | null;
  readonly startedAt?: Date;
  readonly lastActiveAt?: Date;
  readonly pausedAt?: Date | null;
  readonly resumedBy?: 'memory' | 'reboot' | null;
  readonly timeoutSec?: number;
  readonly onMemoryLoss?: 'reboot' | 'fail';
  /** Marks it as destroyed on request: not shown any more once it has stopped. */
  readonly deleted?: true;
}

/** One compare-and-swap. */
export interface Transition {
  readonly id: string;
  readonly from: LifecyclePosition;
  readonly to: SandboxState;
  readonly changes?: TransitionChanges;
  /** What the event of it says, where that is not the reason among the changes. */
  readonly why?: string;
}

/** One compare-and-swap to where a host already is. */
export interface Follow {
  readonly id: string;
  readonly from: LifecyclePosition;
  readonly to: LifecyclePosition;
  readonly changes?: TransitionChanges;
  /** No event: the host tells of it itself. */
  readonly silent?: boolean;
}
