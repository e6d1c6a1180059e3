import type { MetricsPoint } from '@dormouse/sdk';
import { expect, test } from 'vitest';
import { metricsRows, newestPoints } from './metrics-rows.js';

const MIB = 1024 * 1024;

function point(at: string, cpuBusyMs: number, cpuIdleMs: number): MetricsPoint {
  return {
    at,
    uptimeMs: 60_000,
    cpuCount: 2,
    cpuBusyMs,
    cpuIdleMs,
    memoryTotalBytes: 512 * MIB,
    memoryAvailableBytes: 412 * MIB,
    memoryCachedBytes: 64 * MIB,
    diskTotalBytes: 4096 * MIB,
    diskUsedBytes: 1536 * MIB,
    diskAvailableBytes: 2560 * MIB,
    processCount: 9,
  };
}

test('a row tells the load since the point before, unless nobody knows it', () => {
  const points = [
    point('2026-01-31T09:30:00.000Z', 1_000, 9_000),
    point('2026-01-31T09:30:10.000Z', 6_000, 24_000),
    // Booted meanwhile.
    point('2026-01-31T09:40:00.000Z', 500, 500),
  ];
  const same = ['100 MiB of 512 MiB', '1.5 GiB of 4.0 GiB', '9'];
  expect(metricsRows(points)).toEqual([
    ['2026-01-31T09:30:00.000Z', '', ...same],
    ['2026-01-31T09:30:10.000Z', '25 %', ...same],
    ['2026-01-31T09:40:00.000Z', '', ...same],
  ]);
});

test('the newest points are those before the last one, however long ago that is', () => {
  const points = [
    point('2026-01-31T09:30:00.000Z', 1, 1),
    point('2026-01-31T09:31:00.000Z', 1, 1),
    point('2026-01-31T09:32:00.000Z', 1, 1),
  ];
  expect(newestPoints(points, 60_000)).toEqual(points.slice(1));
  expect(newestPoints([], 60_000)).toEqual([]);
});
