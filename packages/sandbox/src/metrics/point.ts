import type { Guest } from '@dormouse/guest-link';

/** What a guest was doing at one moment. Every figure is a whole number of at most 53 bits, or of 32 where it counts. */
export interface MetricsPoint {
  /** Unix milliseconds, by the host's clock. */
  readonly atMs: number;
  readonly uptimeMs: number;
  readonly cpuCount: number;
  /** Summed over all CPUs, since boot, like `cpuIdleMs`. */
  readonly cpuBusyMs: number;
  readonly cpuIdleMs: number;
  readonly memoryTotalBytes: number;
  readonly memoryAvailableBytes: number;
  readonly memoryCachedBytes: number;
  readonly diskTotalBytes: number;
  readonly diskUsedBytes: number;
  readonly diskAvailableBytes: number;
  readonly processCount: number;
}

/** A guest that runs may be busy or be emulated; one that takes longer is asked again another time. */
const MEASURE_TIMEOUT_MS = 5_000;
const MAX_COUNT = 0xffff_ffff;

/** Where a guest can be looked at. */
export interface Observable {
  /** The guest, without that being use of it. @param timeoutMs how long its link may take to stand */
  observe(timeoutMs: number): Promise<Guest>;
}

/**
 * Asks a guest for its figures, which takes at most ten seconds and is no activity.
 *
 * @throws DormouseError `invalid_state`, `guest_unreachable`, `timeout`
 */
export async function measure(sandbox: Observable): Promise<MetricsPoint> {
  const guest = await sandbox.observe(MEASURE_TIMEOUT_MS);
  const figures = await guest.metrics({ timeoutMs: MEASURE_TIMEOUT_MS });
  return {
    atMs: Date.now(),
    uptimeMs: whole(figures.uptimeMs),
    cpuCount: whole(figures.cpuCount, MAX_COUNT),
    cpuBusyMs: whole(figures.cpuBusyMs),
    cpuIdleMs: whole(figures.cpuIdleMs),
    memoryTotalBytes: whole(figures.memoryTotalBytes),
    memoryAvailableBytes: whole(figures.memoryAvailableBytes),
    memoryCachedBytes: whole(figures.memoryCachedBytes),
    diskTotalBytes: whole(figures.diskTotalBytes),
    diskUsedBytes: whole(figures.diskUsedBytes),
    diskAvailableBytes: whole(figures.diskAvailableBytes),
    processCount: whole(figures.processes, MAX_COUNT),
  };
}

/** Guests may say anything: what is kept and sent on can be counted with. */
function whole(value: number | bigint, most = Number.MAX_SAFE_INTEGER): number {
  return Math.min(Number(value), most);
}
