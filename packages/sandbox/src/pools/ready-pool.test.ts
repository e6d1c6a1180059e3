import { describe, expect, test } from 'vitest';
import type { SandboxSpec } from '../config/sandbox-spec.js';
import { type ReadyKind, ReadyPool, type ReadyVm } from './ready-pool.js';

const SPEC: SandboxSpec = {
  template: 'base',
  imageId: 'im1',
  user: 'user',
  vcpus: 1,
  memoryMb: 512,
  diskBytes: 1_000_000,
  envs: {},
  internet: true,
  hostname: 'waiting',
};
const KIND: ReadyKind = { spec: SPEC, generationId: 'gn1' };
const OTHER: ReadyKind = { ...KIND, generationId: 'gn2' };

/** A pool whose guests exist only in the test, numbered as they are made. */
function puppets(size: number) {
  const alive = new Map<ReadyVm, { readonly number: number; readonly end: () => void }>();
  const state = { made: 0, refuses: false };
  const pool = new ReadyPool({
    size,
    refillPauseMs: 0,
    make: async (kind) => {
      if (state.refuses) throw new Error('not today');
      let end = (): void => {};
      const exited = new Promise<void>((resolve) => {
        end = resolve;
      });
      const started = { vm: { exited }, link: { closed: new Promise(() => {}) } } as unknown;
      const ready = { kind, started, pin: {} } as ReadyVm;
      alive.set(ready, { number: ++state.made, end });
      return ready;
    },
    end: async (ready) => void alive.delete(ready),
  });
  const numberOf = (ready: ReadyVm | undefined): number | undefined =>
    ready === undefined ? undefined : alive.get(ready)?.number;
  const numbers = (): number[] => [...alive.values()].map(({ number }) => number);
  return { pool, alive, state, numberOf, numbers };
}

describe('sandboxes that wait', () => {
  test('are as many as shall, are given away once, and are replaced', async () => {
    const { pool, numberOf, numbers } = puppets(2);
    expect(pool.take(KIND)).toBeUndefined();
    await pool.refill(KIND);
    expect([numbers(), pool.memoryMb]).toEqual([[1, 2], 1024]);
    expect([numberOf(pool.take(KIND)), numberOf(pool.take(KIND)), pool.take(KIND)]).toEqual([
      1,
      2,
      undefined,
    ]);
    await pool.refill(KIND);
    expect([numbers(), pool.memoryMb]).toEqual([[1, 2, 3, 4], 1024]);
  });

  test.each<[string, Partial<SandboxSpec>]>([
    ['memory', { memoryMb: 256 }],
    ['processors', { vcpus: 2 }],
    ['network', { internet: false }],
    ['disk', { diskBytes: 2_000_000 }],
    ['image', { imageId: 'im2' }],
    ['user', { user: 'root' }],
  ])('are given to nobody who wants another %s', async (_what, change) => {
    const { pool, numberOf } = puppets(1);
    await pool.refill(KIND);
    expect(pool.take({ ...KIND, spec: { ...SPEC, ...change } })).toBeUndefined();
    const own = { envs: { A: 'b' }, hostname: 'another' };
    expect(numberOf(pool.take({ ...KIND, spec: { ...SPEC, ...own } }))).toBe(1);
  });

  test('of another kind make room for what was wanted last', async () => {
    const { pool, numberOf, numbers } = puppets(1);
    await pool.refill(KIND);
    expect(pool.take(OTHER)).toBeUndefined();
    await pool.refill(OTHER);
    expect(numbers()).toEqual([2]);
    expect(numberOf(pool.take(OTHER))).toBe(2);
  });

  test('and have ended by themselves are given to nobody', async () => {
    const { pool, alive, numbers } = puppets(1);
    await pool.refill(KIND);
    for (const { end } of alive.values()) end();
    await Promise.resolve();
    expect(pool.take(KIND)).toBeUndefined();
    await pool.refill(KIND);
    expect(numbers()).toEqual([2]);
  });

  test('give their memory up when it is needed, and are all ended at the end', async () => {
    const { pool, state, numbers } = puppets(2);
    await pool.refill(KIND);
    await pool.drain();
    expect([numbers(), pool.memoryMb]).toEqual([[], 0]);
    state.refuses = true;
    await pool.refill(KIND);
    expect(numbers()).toEqual([]);
    state.refuses = false;
    await pool.refill(KIND);
    expect(numbers()).toEqual([3, 4]);
    await pool.close();
    await pool.refill(KIND);
    expect(numbers()).toEqual([]);
  });

  test('are none where none shall be', async () => {
    const { pool, state } = puppets(0);
    pool.take(KIND);
    await pool.refill(KIND);
    expect(state.made).toBe(0);
  });
});
