import { expect, test } from 'vitest';
import { restartDelayMs } from './back-off.js';

test('a service that keeps dying is started again ever later, at most every 5 s', () => {
  expect([1, 2, 3, 4, 5, 6, 7, 100].map(restartDelayMs)).toEqual([
    200, 400, 800, 1600, 3200, 5000, 5000, 5000,
  ]);
});
