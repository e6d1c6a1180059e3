import type { MetricsPoint } from '@dormouse/sdk';
import { humanBytes } from '../terminal/human.js';

/** The points of so many milliseconds before the newest one. */
export function newestPoints(points: readonly MetricsPoint[], ms: number): readonly MetricsPoint[] {
  const newest = points.at(-1);
  if (newest === undefined) return [];
  return points.filter(({ at }) => Date.parse(newest.at) - Date.parse(at) <= ms);
}

/** One row of `sandbox metrics` for each point: when, the load since the point before, what is used of how much. */
export function metricsRows(points: readonly MetricsPoint[]): string[][] {
  return points.map((point, index) => [
    point.at,
    loadBetween(points[index - 1], point),
    `${humanBytes(point.memoryTotalBytes - point.memoryAvailableBytes)} of ${humanBytes(point.memoryTotalBytes)}`,
    `${humanBytes(point.diskUsedBytes)} of ${humanBytes(point.diskTotalBytes)}`,
    String(point.processCount),
  ]);
}

/** Empty where it is not known: for the first point, and after a boot. */
function loadBetween(before: MetricsPoint | undefined, after: MetricsPoint): string {
  if (before === undefined) return '';
  const busy = after.cpuBusyMs - before.cpuBusyMs;
  const idle = after.cpuIdleMs - before.cpuIdleMs;
  if (busy < 0 || idle < 0 || busy + idle === 0) return '';
  return `${Math.round((100 * busy) / (busy + idle))} %`;
}
