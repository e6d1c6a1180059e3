/** Median and 95th percentile of a series. */
export interface Summary {
  readonly count: number;
  readonly median: number;
  readonly p95: number;
}

/** Nearest-rank percentile of a series that is not empty; `share` is 0 to 1. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = Math.max(0, Math.ceil(share * sorted.length) - 1);
  return sorted[rank] ?? Number.NaN;
}

/** Summary of a series. */
export function summarise(values: readonly number[]): Summary {
  return { count: values.length, median: percentile(values, 0.5), p95: percentile(values, 0.95) };
}
