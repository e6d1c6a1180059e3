import type { LifecyclePosition, SandboxState } from '@dormouse/lifecycle';
import type { Selectable } from 'kysely';
import type { SandboxesTable } from './schema.js';

/** A sandbox as it is stored. */
export type SandboxRecord = Readonly<Selectable<SandboxesTable>> & {
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
