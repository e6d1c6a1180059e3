import { expect, test } from 'vitest';
import { backOffMs, MAX_ATTEMPTS } from './schedule.js';

const delays = (random: number) =>
  Array.from({ length: MAX_ATTEMPTS }, (_, made) => backOffMs(MAX_ATTEMPTS - 1 - made, random));

test('nine attempts: after 5 s, 30 s, 2 min, 10 min, 30 min, 2 h, 6 h and 12 h', () => {
  expect(delays(0.5)).toEqual([
    5_000,
    30_000,
    120_000,
    600_000,
    1_800_000,
    7_200_000,
    21_600_000,
    43_200_000,
    null,
  ]);
});

test('a fifth shorter or longer', () => {
  expect(delays(0).slice(0, 3)).toEqual([4_000, 24_000, 96_000]);
  expect(delays(1).slice(0, 3)).toEqual([6_000, 36_000, 144_000]);
});

test('none is left after the last, whatever the number says', () => {
  expect([backOffMs(0, 0.5), backOffMs(-1, 0.5), backOffMs(MAX_ATTEMPTS, 0.5)]).toEqual([null, null, null]);
});
