import type { MemoryServers } from '@dormouse/page-server';
import type { Kernel } from '@dormouse/rootfs';
import type { GenerationStore } from '@dormouse/snapshot';
import type { Accelerator, VmDriver } from '@dormouse/vmm';
import type { HostConfig } from './config/host-config.js';
import type { SandboxLog } from './config/sandbox-log.js';
import type { DiskLayers } from './disk/disk.js';
import type { HostObserver } from './observation/observer.js';
import type { ReadyPool } from './pools/ready-pool.js';
import type { StandbyPool } from './pools/standby-pool.js';
import type { HostEvents } from './records/host-events.js';
import type { VmSlots } from './vm/vm-slots.js';

export type { SandboxLog } from './config/sandbox-log.js';

/** How much a moment may lie in or on before it is copied into one. */
export interface ChainLimits {
  /** Disk layers: each is an open file, and a look-up on every read. Default 16. */
  readonly maxLayers?: number;
  /** Generations that its memory lies in. Default 8. */
  readonly maxSources?: number;
}

/** What a host is made of, given by whoever opens it. */
export interface HostEnvironment {
  readonly config: HostConfig;
  readonly driver: VmDriver;
  readonly accelerator: Accelerator;
  readonly kernel: Kernel;
  readonly log: SandboxLog;
  /** VM processes that wait for a saved VM. Default 0: each is started when it is needed. */
  readonly standbys?: number;
  /** Sandboxes of the template that was used last which wait, restored, for somebody who wants one. Default 0. */
  readonly readySandboxes?: number;
  /** What moves the memory of guests. Default: page servers, each a process of its own. */
  readonly memoryServers?: MemoryServers;
  /** How long the chains of paused sandboxes may get. */
  readonly chains?: ChainLimits;
  /** Freeze a template in the background once a sandbox of it had to be booted. Default no. */
  readonly freezeTemplates?: boolean;
  /** Milliseconds until a step that has to succeed is tried again, the first time; doubles. Default 1,000. */
  readonly retryPauseMs?: number;
  /** Told what the host does, in figures. Default: nobody. */
  readonly observer?: HostObserver;
  /** Called at every named step of pause, checkpoint and resume, so that a test can end the process there. */
  readonly onStep?: (step: Step) => void | Promise<void>;
}

/** Named moments in the life of a sandbox, in order; the last two only of those whose restore breaks off, or whose VM ends by itself. */
export type Step =
  | 'freeze-begun'
  | 'held'
  | 'frozen'
  | 'layer-pushed'
  | 'captured'
  | 'committed'
  | 'recorded'
  | 'freed'
  | 'resume-begun'
  | 'standby-ready'
  | 'listening'
  | 'running'
  | 'awake'
  | 'resumed'
  | 'restore-broken'
  | 'disk-begun';

/** What all sandboxes of a host share. */
export interface SandboxEnvironment extends HostEnvironment {
  readonly store: GenerationStore;
  readonly slots: VmSlots;
  readonly layers: DiskLayers;
  readonly pageServers: MemoryServers;
  readonly standbyPool: StandbyPool;
  readonly readyPool: ReadyPool;
  readonly events: HostEvents;
}
