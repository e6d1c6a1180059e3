import { SANDBOX_STATES, type SandboxState } from '@dormouse/lifecycle';
import type { Policy } from '../config/policy.js';
import type { SandboxSpec } from '../config/sandbox-spec.js';
import type { Disk } from '../disk/disk.js';
import type { VmSlotRecord } from '../vm/vm-slots.js';

/** What a host knows of a sandbox's life. A destroyed sandbox has no journal. */
export type HostState = Exclude<SandboxState, 'error'>;

/** All of them, in the order of a life. */
export const HOST_STATES: readonly HostState[] = SANDBOX_STATES.filter((state) => state !== 'error');

/** A VM process and its place, as a journal names them. */
export type VmRecord = VmSlotRecord & { readonly pid: number; readonly startTicks: number };

/**
 * Why a sandbox was paused without a request: its timeout passed, the host stopped, or its VM ended, which leaves its
 * disk.
 */
export type PauseCause = 'timeout' | 'shutdown' | 'vm_ended';

/** A frozen sandbox. */
export interface PausedMoment {
  readonly generationId: string;
  readonly kind: 'full' | 'disk';
  /** Unix milliseconds. */
  readonly atMs: number;
  /** Absent: on request. */
  readonly cause?: PauseCause | undefined;
}

/** Everything that is known of a sandbox in every state. */
interface Common {
  readonly version: 3;
  readonly id: string;
  readonly generation: number;
  readonly spec: SandboxSpec;
  readonly policy: Policy;
  /** The snapshot it was spawned from. */
  readonly snapshotId?: string | undefined;
  readonly createdAtMs: number;
  /** When its present or last VM began to run, Unix milliseconds. */
  readonly startedAtMs?: number | undefined;
  /** How its present or last VM came to life, unless it was created so. */
  readonly resumedBy?: 'memory' | 'reboot' | undefined;
  /** Why its VM ended, or why it was booted instead of restored. */
  readonly reason?: string | undefined;
}

/** Fields that only some states have. */
type StateField =
  | 'vm'
  | 'disk'
  | 'memoryBase'
  | 'loading'
  | 'purpose'
  | 'intent'
  | 'intentCause'
  | 'paused'
  | 'resumeAtStart'
  | 'stopCause';

/** A state with these fields and none of the others. */
type With<Fields> = Common & Fields & { readonly [Name in Exclude<StateField, keyof Fields>]?: undefined };

/** A VM that the sandbox runs in. */
export interface LiveFacts {
  readonly vm: VmRecord;
  readonly disk: Disk;
  /** The generation that the memory of the VM began with; absent after a boot. */
  readonly memoryBase?: string | undefined;
}

export type PendingJournal = With<{ readonly state: 'pending' }>;

export type RunningJournal = With<
  LiveFacts & {
    readonly state: 'running';
    /** Some of the VM's memory is not there yet. A VM that ends before it is goes back to `memoryBase`. */
    readonly loading?: true | undefined;
  }
>;

/** A checkpoint is being made. `disk` may name a layer that the VM does not have yet. */
export type SnapshottingJournal = With<LiveFacts & { readonly state: 'snapshotting' }>;

/** The VM is being frozen into the generation `intent`. */
export type FreezingJournal = With<
  LiveFacts & {
    readonly state: 'pausing';
    readonly purpose: 'freeze';
    readonly intent: string;
    readonly intentCause?: PauseCause | undefined;
  }
>;

/** The VM has ended, or is to be ended: its disk becomes the generation `intent`, from which the sandbox boots. */
export type KeepingDiskJournal = With<{
  readonly state: 'pausing';
  readonly purpose: 'keep-disk';
  readonly vm?: VmRecord | undefined;
  readonly disk: Disk;
  /** Absent until a generation is begun. */
  readonly intent?: string | undefined;
  readonly intentCause: PauseCause;
  readonly reason: string;
}>;

/** Memory that was still missing cannot come: the VM goes, and the sandbox is again the generation it began with. */
export type GoingBackJournal = With<{
  readonly state: 'pausing';
  readonly purpose: 'go-back';
  readonly vm?: VmRecord | undefined;
  readonly disk?: Disk | undefined;
  /** The generation to go back to. */
  readonly intent: string;
  /** The same, for host agents before `purpose`, which infer it. */
  readonly memoryBase: string;
  readonly reason: string;
}>;

export type PausingJournal = FreezingJournal | KeepingDiskJournal | GoingBackJournal;

export type PausedJournal = With<{
  readonly state: 'paused';
  readonly paused: PausedMoment;
  /** Paused only because the host stopped: resumed when it is back. */
  readonly resumeAtStart?: boolean | undefined;
}>;

export type ResumingJournal = With<{
  readonly state: 'resuming';
  readonly paused: PausedMoment;
  readonly resumeAtStart?: boolean | undefined;
}>;

export type StoppingJournal = With<{
  readonly state: 'stopping';
  readonly vm?: VmRecord | undefined;
  readonly disk?: Disk | undefined;
  /** Why it is being removed; absent: on request. */
  readonly stopCause?: 'timeout' | undefined;
}>;

/** Its VM has ended and it cannot be resumed. Its disk stays until it is deleted. */
export type StoppedJournal = With<{
  readonly state: 'stopped';
  readonly disk?: Disk | undefined;
  readonly reason: string;
}>;

/** The durable truth about one sandbox: enough to find its VM, or to clean up after it, when the agent has died. */
export type Journal =
  | PendingJournal
  | RunningJournal
  | SnapshottingJournal
  | PausingJournal
  | PausedJournal
  | ResumingJournal
  | StoppingJournal
  | StoppedJournal;

/** A sandbox with a VM that runs, or stands still for a while. */
export type LiveJournal = RunningJournal | SnapshottingJournal | FreezingJournal;

/** Whether the sandbox has a VM that it can go on in. */
export function isLive(journal: Journal): journal is LiveJournal {
  const { state, purpose } = journal;
  return state === 'running' || state === 'snapshotting' || purpose === 'freeze';
}

/** A sandbox that is being made. */
export function pending(of: Omit<Common, 'version'>): PendingJournal {
  return { version: 3, ...of, state: 'pending' };
}

/** A VM has come to life. `loading`: some of its memory is still missing. */
export function started(
  from: Journal,
  live: LiveFacts & Pick<RunningJournal, 'loading' | 'resumedBy' | 'reason'>,
  startedAtMs: number,
): RunningJournal {
  const { resumedBy = from.resumedBy, ...rest } = live;
  return { ...common(from), reason: undefined, ...rest, resumedBy, startedAtMs, state: 'running' };
}

/** The VM goes on, on its present disk or another one; after a checkpoint its memory is compared with another base. */
export function runningOn(
  from: LiveJournal,
  change: Partial<Pick<LiveFacts, 'disk' | 'memoryBase'>> = {},
): RunningJournal {
  const { loading } = from;
  return { ...common(from), ...liveFacts(from), loading, ...change, state: 'running' };
}

/** All memory of the VM is there. */
export function loaded(from: RunningJournal): RunningJournal {
  return { ...from, loading: undefined };
}

/** A checkpoint begins, or its disk changes. All memory of the VM is there. */
export function snapshotting(
  from: RunningJournal | SnapshottingJournal,
  disk: Disk = from.disk,
): SnapshottingJournal {
  return { ...common(from), ...liveFacts(from), disk, state: 'snapshotting' };
}

/** A pause begins. All memory of the VM is there. */
export function freezing(
  from: RunningJournal,
  intent: string,
  intentCause: PauseCause | undefined,
): FreezingJournal {
  return { ...common(from), ...liveFacts(from), state: 'pausing', purpose: 'freeze', intent, intentCause };
}

/** The VM is lost; its disk is to be kept. */
export function keepingDisk(
  from: Journal,
  disk: Disk,
  why: { readonly reason: string; readonly cause: PauseCause; readonly intent?: string | undefined },
): KeepingDiskJournal {
  const { vm } = from;
  const { reason, cause: intentCause, intent } = why;
  return {
    ...common(from),
    state: 'pausing',
    purpose: 'keep-disk',
    vm,
    disk,
    intent,
    intentCause,
    reason,
  };
}

/** The VM is lost before all its memory was there. */
export function goingBack(
  from: Journal,
  to: { readonly generationId: string; readonly reason: string },
): GoingBackJournal {
  const { vm, disk } = from;
  const { generationId, reason } = to;
  return {
    ...common(from),
    state: 'pausing',
    purpose: 'go-back',
    vm,
    disk,
    intent: generationId,
    memoryBase: generationId,
    reason,
  };
}

/** The sandbox is a generation. */
export function paused(from: Journal, moment: PausedMoment): PausedJournal {
  const resumeAtStart = moment.cause === 'shutdown' || from.purpose === 'go-back' ? true : undefined;
  return { ...common(from), state: 'paused', paused: moment, resumeAtStart };
}

/** A VM is being made from what the sandbox was paused in. */
export function resuming(
  from: PausedJournal,
  generation: number,
  policy: Policy = from.policy,
): ResumingJournal {
  const { paused: moment, resumeAtStart } = from;
  return { ...common(from), generation, policy, state: 'resuming', paused: moment, resumeAtStart };
}

/** No VM was made: the sandbox is paused as it was. */
export function pausedAgain(from: ResumingJournal): PausedJournal {
  return { ...from, state: 'paused' };
}

/** The sandbox is not resumed with its host any more: that has failed. */
export function stayingPaused(from: PausedJournal | ResumingJournal): PausedJournal {
  return { ...from, state: 'paused', resumeAtStart: undefined };
}

/** The sandbox is being removed. */
export function stopping(from: Journal, stopCause?: 'timeout'): StoppingJournal {
  const { vm, disk } = from;
  return { ...common(from), state: 'stopping', vm, disk, stopCause: stopCause ?? from.stopCause };
}

/** The VM has ended, and nothing of it can be resumed. */
export function stopped(from: Journal, reason: string): StoppedJournal {
  return { ...common(from), state: 'stopped', disk: from.disk, reason };
}

/** The same with another policy or generation number. */
export function changed<Kind extends Journal>(
  from: Kind,
  change: { readonly policy?: Policy; readonly generation?: number },
): Kind {
  return { ...from, ...change };
}

/** The same without its VM, whose place has been given up. */
export function withoutPlace(from: Journal): Journal {
  return isLive(from) ? from : ({ ...from, vm: undefined } as Journal);
}

/** The generations that a sandbox refers to. */
export function generationsOf({ memoryBase, paused: moment, intent, disk }: Journal): readonly string[] {
  const base = disk?.base.kind === 'generation' ? disk.base.id : undefined;
  return [memoryBase, moment?.generationId, intent, base].filter((id) => id !== undefined);
}

function common(from: Common): Common {
  const { version, id, generation, spec, policy, snapshotId } = from;
  const { createdAtMs, startedAtMs, resumedBy, reason } = from;
  return {
    version,
    id,
    generation,
    spec,
    policy,
    snapshotId,
    createdAtMs,
    startedAtMs,
    resumedBy,
    reason,
  };
}

function liveFacts({ vm, disk, memoryBase }: LiveFacts): LiveFacts {
  return { vm, disk, memoryBase };
}
