import type { ErrorCode } from '@dormouse/errors';
import type { LatencySummary } from '@dormouse/qemu-stream';
import type { CaptureTarget, PageCounts } from '@dormouse/snapshot';

/** Restore a VM from a generation: serve its memory until QEMU has all of it. */
export interface ServeJob {
  readonly kind: 'serve';
  /** Directory of all generations. */
  readonly root: string;
  readonly generationId: string;
  /** Where QEMU listens for the saved VM. */
  readonly socketPath: string;
}

/** Write what a stopped VM's memory has that its parent's has not. */
export interface CaptureJob {
  readonly kind: 'capture';
  /** Directory of all generations. */
  readonly root: string;
  /** The guest's memory. */
  readonly ramPath: string;
  readonly pageCount: number;
  /** The generation the VM was restored from; absent after a boot. */
  readonly parentId?: string;
  readonly into: CaptureTarget;
}

export type Job = ServeJob | CaptureJob;

/** Asks a page server whether it still answers. */
export interface Ping {
  readonly kind: 'ping';
}

/** What became of a restore, once QEMU needs nothing more. */
export interface Served {
  /** Page requests of the guest. */
  readonly requests: number;
  readonly sentAhead: number;
  readonly pushed: number;
  readonly bytesSent: number;
  /** From the beginning until QEMU let the guest run. */
  readonly untilRunningMs: number;
  /** From the beginning until all memory was there. */
  readonly untilLoadedMs: number;
  readonly requestLatencyUs: LatencySummary;
  /** What a next restore of the generation should send ahead, when that differs from what is recorded. */
  readonly workingSet?: readonly number[];
  /** Why what was recorded could not be used. */
  readonly workingSetProblem?: string;
}

/** What a capture has written. */
export interface Captured {
  readonly counts: PageCounts;
  /** Size of the page map and the packed pages. */
  readonly bytes: number;
  /** What a restore should send ahead at first: the parent's set and what has changed. */
  readonly workingSet: readonly number[];
  readonly ms: number;
}

/** What a page server says to whoever started it. */
export type Message =
  | { readonly kind: 'ready' }
  /** Answers a ping. */
  | { readonly kind: 'pong' }
  /** The guest runs. */
  | { readonly kind: 'running' }
  | { readonly kind: 'served'; readonly served: Served }
  | { readonly kind: 'captured'; readonly captured: Captured }
  | {
      readonly kind: 'failed';
      readonly code: ErrorCode;
      readonly message: string;
      readonly suggestion: string | undefined;
    };
