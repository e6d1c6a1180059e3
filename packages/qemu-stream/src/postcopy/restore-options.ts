/** How the rest of the memory is sent while the guest runs. */
export interface BackgroundOptions {
  /** Milliseconds after the guest has begun to run; 0 by default. */
  readonly startAfterMs?: number;
  /** Pages in one section. */
  readonly slicePages?: number;
  /** Sections on their way that QEMU has not read yet. With the slice, it bounds how long a request waits. */
  readonly windowSlices?: number;
}

/** How a lazy restore goes. */
export interface RestoreOptions {
  /** Name of the block that is restored lazily: the id of the memory backend. `ram` by default. */
  readonly lazyBlock?: string;
  /** Pages to send before the guest runs. What is no page of the block is left out. */
  readonly workingSet?: Iterable<number>;
  /** Answers a request with the populated pages of the same aligned group of so many, too. 1 sends the page alone. */
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
  startAfterMs: 0,
  slicePages: 16,
  windowSlices: 4,
  stallMs: 30_000,
} as const;
