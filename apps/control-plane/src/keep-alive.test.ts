import { RENEW_EVERY_MS } from '@dormouse/store';
import { expect, test } from 'vitest';
import { keepAlive, UNREACHABLE_AFTER_MS } from './keep-alive.js';

const AWAY_FROM_MS = 10_000;
const BACK_AT_MS = 70_000;
const END_MS = 100_000;

test('hazard 9: after an outage of the database no host is called unreachable before it could be seen', async () => {
  const stop = new AbortController();
  const judgedAtMs: number[] = [];
  let nowMs = 0;
  const system = {
    lease: {
      renew: async () => {
        if (nowMs >= AWAY_FROM_MS && nowMs < BACK_AT_MS) throw new Error('the database is away');
      },
    },
    markUnreachable: async () => {
      judgedAtMs.push(nowMs);
      return [];
    },
  };
  const clock = {
    now: () => nowMs,
    wait: async (ms: number) => {
      nowMs += ms;
      if (nowMs > END_MS) stop.abort();
    },
  };
  await keepAlive({ store: { system }, log: { warn: () => {}, debug: () => {} } }, stop.signal, clock);
  expect(judgedAtMs[0]).toBe(RENEW_EVERY_MS);
  const after = judgedAtMs.filter((atMs) => atMs >= AWAY_FROM_MS);
  expect(after[0]).toBeGreaterThanOrEqual(BACK_AT_MS + UNREACHABLE_AFTER_MS);
  expect(after[0]).toBeLessThan(BACK_AT_MS + UNREACHABLE_AFTER_MS + 3 * RENEW_EVERY_MS);
});
