/** How the rest of the memory is sent while the guest runs. */
export interface BackgroundOptions {
  /**
   * Milliseconds without a page request before anything is sent unasked: while the guest misses pages it needs the
   * processors and QEMU's attention for those.
   */
  readonly quietMs?: number;
  /** Milliseconds after the guest has begun to run when the rest is sent even if it is not quiet. */
  readonly atLatestMs?: number;
  /** Pages in one section. */
  readonly slicePages?: number;
  /** Sections on their way that QEMU has not read yet. With the slice, it bounds how long a request waits. */
  readonly windowSlices?: number;
}

/** How a lazy restore goes. */
export interface RestoreOptions {
  /** Name of the block that is restored lazily: the id of the memory backend. `ram` by default. */
  readonly lazyBlock?: string;
  /** Pages to send unasked at once, in this order. What is no page of the block is left out. */
  readonly workingSet?: Iterable<number>;
  /**
   * So many pages of the working set are sent before the guest runs, the rest while it does. QEMU loads a page faster
   * than a guest gets to the next new one, so the rest stays ahead of a guest that touches it in order. All, by default.
   */
  readonly pagesBeforeRun?: number;
  /**
   * Answers a request with the populated pages of the same aligned group of so many, too (16 at most have an effect).
   * 1, the default, sends the page alone: groups of 4 spare a first restore a third of its requests, but what came as a
   * neighbour is never asked for, so it is missing in the recorded working set and every later restore asks for it.
   */
  readonly clusterPages?: number;
  readonly background?: BackgroundOptions;
  /** Milliseconds without any progress after which the restore fails; 30,000 by default. */
  readonly stallMs?: number;
  /** Ends the restore with `cancelled` (or `timeout`, for `AbortSignal.timeout`). */
  readonly signal?: AbortSignal;
  /** Called once, when QEMU has loaded all devices and lets the guest run. */
  readonly onRunning?: () => void;
  /** Called for every page of the lazily restored block at its first request. */
  readonly onRequest?: (page: number) => void;
}

export const DEFAULTS = {
  lazyBlock: 'ram',
  clusterPages: 1,
  quietMs: 10,
  atLatestMs: 500,
  slicePages: 16,
  windowSlices: 4,
  stallMs: 30_000,
} as const;
