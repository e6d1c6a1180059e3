import { expect, test } from 'vitest';
import { Bell } from './bell.js';

const NEVER = new AbortController().signal;

test('wakes who waits, at once, and keeps one ring for who comes later', async () => {
  const bell = new Bell();
  const waiting = bell.wait(60_000, NEVER);
  bell.ring();
  await waiting;
  bell.ring();
  bell.ring();
  await bell.wait(60_000, NEVER);
  const startedMs = performance.now();
  await bell.wait(30, NEVER);
  expect(performance.now() - startedMs).toBeGreaterThan(20);
});

test('what rings while it is quiet is one ring with the last', async () => {
  const bell = new Bell();
  const quiet = bell.quiet(20, NEVER);
  bell.ring();
  await quiet;
  const startedMs = performance.now();
  await bell.wait(30, NEVER);
  expect(performance.now() - startedMs).toBeGreaterThan(20);
});

test('does not outlast the signal', async () => {
  const stop = new AbortController();
  const bell = new Bell();
  const waiting = bell.wait(60_000, stop.signal);
  stop.abort();
  await waiting;
  await bell.wait(60_000, stop.signal);
});
