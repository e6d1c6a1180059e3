import { expect, test, vi } from 'vitest';
import { Unfinished } from './unfinished.js';

function unfinished(firstPauseMs: number): { steps: Unfinished; warnings: string[] } {
  const warnings: string[] = [];
  const log = { info: () => {}, warn: (_fields: unknown, message: string) => warnings.push(message) };
  const steps: Unfinished = new Unfinished(log, () => void steps.attempt(), firstPauseMs);
  return { steps, warnings };
}

test('a step that fails is tried again with longer and longer pauses until it succeeds, and then never again', async () => {
  vi.useFakeTimers();
  try {
    const { steps, warnings } = unfinished(1_000);
    const tries: number[] = [];
    const beginMs = Date.now();
    const done = await steps.insist('write the journal', async () => {
      tries.push(Date.now() - beginMs);
      if (tries.length < 4) throw new Error('no space');
    });
    expect([done, steps.what]).toEqual([false, 'write the journal']);
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(tries).toEqual([0, 1_000, 3_000, 7_000]);
    expect(steps.what).toBeUndefined();
    expect(warnings).toEqual(Array(3).fill('could not write the journal; trying again'));
  } finally {
    vi.useRealTimers();
  }
});

test('a step is dropped by name, replaced by name, or with all others', async () => {
  const { steps } = unfinished(1);
  const ran: string[] = [];
  const failing = (name: string) => async () => {
    ran.push(name);
    throw new Error(name);
  };
  await steps.insist('a', failing('a'));
  await steps.insist('a', failing('b'));
  await steps.insist('c', failing('c'));
  steps.drop('c');
  await steps.attempt();
  expect(ran).toEqual(['a', 'b', 'c', 'b']);
  steps.clear();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect([ran.length, steps.what]).toEqual([4, undefined]);
});
