import type { MetricsPoint } from '../metrics/point.js';

/** A point of a moment, with figures that tell each other apart. */
export function pointAt(atMs: number): MetricsPoint {
  return {
    atMs,
    uptimeMs: atMs + 1,
    cpuCount: 2,
    cpuBusyMs: atMs + 3,
    cpuIdleMs: atMs + 4,
    memoryTotalBytes: Number.MAX_SAFE_INTEGER,
    memoryAvailableBytes: atMs + 6,
    memoryCachedBytes: atMs + 7,
    diskTotalBytes: atMs + 8,
    diskUsedBytes: atMs + 9,
    diskAvailableBytes: atMs + 10,
    processCount: atMs + 11,
  };
}
