/** How long page requests waited, in microseconds: from their arrival until the kernel had taken the answer. */
export interface LatencySummary {
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
}

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
  return { p50: at(0.5), p95: at(0.95), max: at(1) };
}
