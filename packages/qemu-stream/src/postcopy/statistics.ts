/** How long page requests waited, in microseconds: from their arrival until the kernel had taken the answer. */
export interface LatencySummary {
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
  readonly sum: number;
  /** How many waited for at most each of LATENCY_BOUNDS_US and longer than the one before; last, those beyond. */
  readonly counts: readonly number[];
}

/** From a page that is in the host's cache to one that a slow disk has. */
export const LATENCY_BOUNDS_US: readonly number[] = [
  50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
];

/** What a lazy restore did. */
export interface RestoreStatistics {
  /** Page requests that came, of whatever block. */
  readonly requests: number;
  /** Pages of the lazily restored block that were asked for, in the order they were asked for first. */
  readonly requestedPages: readonly number[];
  /** Pages of the working set that were sent unasked, before the guest ran or right after. */
  readonly sentAhead: number;
  /** Pages sent because they were asked for, or are neighbours of one that was. */
  readonly answered: number;
  /** Pages sent in the background. */
  readonly pushed: number;
  readonly bytesSent: number;
  /** Milliseconds from the beginning until everything needed to run was handed to the socket. */
  readonly untilSentMs: number;
  /** Milliseconds from the beginning until QEMU had loaded all devices and let the guest run. */
  readonly untilRunningMs: number;
  /** Milliseconds from the beginning until all memory was there and QEMU needs no source any more. */
  readonly untilLoadedMs: number;
  readonly requestLatencyUs: LatencySummary;
}

/** The summary of waiting times in milliseconds; zeros when there were none. */
export function summarize(waitsMs: readonly number[]): LatencySummary {
  const sorted = Float64Array.from(waitsMs).sort();
  const at = (share: number): number => {
    const index = Math.min(sorted.length - 1, Math.floor(sorted.length * share));
    return Math.round((sorted[index] ?? 0) * 1000);
  };
  const counts = new Array<number>(LATENCY_BOUNDS_US.length + 1).fill(0);
  let sum = 0;
  for (const waitMs of waitsMs) {
    const us = waitMs * 1_000;
    const index = LATENCY_BOUNDS_US.findIndex((bound) => us <= bound);
    counts[index < 0 ? LATENCY_BOUNDS_US.length : index]! += 1;
    sum += us;
  }
  return { p50: at(0.5), p95: at(0.95), max: at(1), sum: Math.round(sum), counts };
}
