import { expect, test } from 'vitest';
import type { HostObserver } from './observer.js';
import { inPhases } from './phases.js';

/** Writes down what it is told. */
function witness() {
  const told: string[] = [];
  const observer: HostObserver = {
    operation: (operation, outcome, ms) => void told.push(`${operation} ${outcome} ${ms >= 0}`),
    phase: (operation, phase, ms) => void told.push(`${operation} ${phase} ${ms >= 0}`),
    committed: () => {},
    served: () => {},
  };
  return { observer, told };
}

test('an operation is told of after its phases, with what it led to', async () => {
  const { observer, told } = witness();
  const result = await inPhases({ observer }, 'boot', async (phase) => {
    const started = await phase('start', async () => 'started');
    return await phase('greet', async () => `${started}, greeted`);
  });
  expect(result).toBe('started, greeted');
  expect(told).toEqual(['boot start true', 'boot greet true', 'boot ok true']);
});

test('one that fails is told of as that, without the phase that failed', async () => {
  const { observer, told } = witness();
  const failing = inPhases({ observer }, 'pause', async (phase) => {
    await phase('prepare', async () => {});
    await phase('hold', () => Promise.reject(new Error('it does not stand still')));
  });
  await expect(failing).rejects.toThrow('it does not stand still');
  expect(told).toEqual(['pause prepare true', 'pause error true']);
});

test('nobody has to listen', async () => {
  expect(await inPhases({}, 'restore', (phase) => phase('load', async () => 1))).toBe(1);
});
