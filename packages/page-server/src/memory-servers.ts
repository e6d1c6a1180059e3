import type { Captured, CaptureJob, Served, ServeJob } from './jobs.js';

/** A restore that has begun. */
export interface Serving {
  /** The guest runs. Rejects like `loaded`. */
  readonly running: Promise<void>;
  /** The VM has all memory. Rejects when a page cannot be served: the guest must not be used then. */
  readonly loaded: Promise<Served>;
}

/** Moves the memory of one guest at a time: to disk, and back. */
export interface MemoryServer {
  /** Restores a VM that listens. */
  serve(job: Omit<ServeJob, 'kind'>): Serving;
  /**
   * Captures the memory of a VM that stands still.
   *
   * @param signal ends the capture
   * @throws DormouseError `pause_failed`; what the capture throws
   */
  capture(job: Omit<CaptureJob, 'kind'>, signal?: AbortSignal): Promise<Captured>;
  /** Ends it at once, with the job it has. */
  kill(): Promise<void>;
}

/** Hands out memory servers. */
export interface MemoryServers {
  /** How many wait, and how many are at work. */
  readonly counts: { readonly idle: number; readonly busy: number };
  /** Starts those that shall wait. Never rejects. */
  fill(): Promise<void>;
  /** One without a job; give it back with `release`. @throws DormouseError `internal` */
  acquire(): Promise<MemoryServer>;
  /** Takes one back. One that is still at work ends. */
  release(server: MemoryServer): Promise<void>;
  /** Ends those that wait; those that work finish and end by themselves. */
  close(): Promise<void>;
}
