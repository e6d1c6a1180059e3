import { expect, test } from 'vitest';
import { percentile, summarise } from './statistics.js';

test('percentiles are members of the series', () => {
  const values = [5, 1, 4, 2, 3];
  expect(percentile(values, 0.5)).toBe(3);
  expect(percentile(values, 0.95)).toBe(5);
  expect(percentile(values, 0)).toBe(1);
  expect(values).toEqual([5, 1, 4, 2, 3]);
});

test('a series of one is its own summary', () => {
  expect(summarise([7])).toEqual({ count: 1, median: 7, p95: 7 });
});
