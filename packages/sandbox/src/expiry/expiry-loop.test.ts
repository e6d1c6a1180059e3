import { DormouseError } from '@dormouse/errors';
import { describe, expect, test } from 'vitest';
import { DEFAULT_POLICY } from '../config/policy.js';
import { FakeClock } from '../testing/fake-clock.js';
import type { ExpiryView } from './expiry.js';
import { ExpiryLoop } from './expiry-loop.js';

interface Asked {
  readonly id: string;
  readonly isDue: () => boolean;
  readonly finish: () => void;
  readonly fail: (error: Error) => void;
}

/** A loop over sandboxes that are paused when the test says so. */
function scene(...ids: string[]) {
  const clock = new FakeClock();
  const sandboxes = new Map<string, { readonly id: string; expiry: ExpiryView }>();
  for (const id of ids) put(id);
  const asked: Asked[] = [];
  const told: [string, string][] = [];
  const loop = new ExpiryLoop({
    list: () => [...sandboxes.values()],
    expire: (id, isDue) =>
      new Promise((resolve, reject) => {
        asked.push({ id, isDue, finish: () => resolve(true), fail: reject });
      }),
    onFailed: async (id, error) => void told.push([id, error.message]),
    log: { info: () => {}, warn: () => {} },
    clock,
  });
  function put(id: string, changes: Partial<ExpiryView> = {}): void {
    const policy = { ...DEFAULT_POLICY, timeoutSec: 10 };
    const lastActiveMs = clock.monotonicMs();
    const view = { state: 'running', policy, removing: false, inUse: false, lastActiveMs } as const;
    sandboxes.set(id, { id, expiry: { ...view, ...changes } });
  }
  /** As a sandbox that somebody uses sees itself. */
  function use(id: string): void {
    const sandbox = sandboxes.get(id)!;
    sandbox.expiry = { ...sandbox.expiry, inUse: true };
  }
  /** Lets what was resolved be noticed. */
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  return { clock, asked, told, loop, put, use, settle, ids: () => asked.map(({ id }) => id) };
}

describe('hazard 22: the loop over timeouts', () => {
  test('begins what is due once, and nothing before', () => {
    const { clock, loop, ids } = scene('a');
    clock.advance(9_999);
    loop.tick();
    expect(ids()).toEqual([]);
    clock.advance(1);
    loop.tick();
    loop.tick();
    expect(ids()).toEqual(['a']);
  });

  test('has four under way at most, the longest overdue first', async () => {
    const { clock, loop, put, asked, ids, settle } = scene();
    for (const [index, id] of ['c', 'a', 'b', 'e', 'd', 'f'].entries()) {
      put(id, { lastActiveMs: clock.monotonicMs() + [2, 0, 1, 4, 3, 5][index]! });
    }
    clock.advance(20_000);
    loop.tick();
    expect(ids()).toEqual(['a', 'b', 'c', 'd']);
    put('a', { state: 'paused' });
    asked[0]!.finish();
    await settle();
    loop.tick();
    expect(ids()).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  test('asks again when its turn has come: who was used meanwhile is left alone', () => {
    const { clock, loop, use, asked } = scene('a');
    clock.advance(10_000);
    loop.tick();
    expect(asked[0]!.isDue()).toBe(true);
    use('a');
    expect(asked[0]!.isDue()).toBe(false);
  });

  test('hazard 5: a failure is told, and tried again later; it destroys nothing', async () => {
    const { clock, loop, put, asked, told, ids, settle } = scene('a');
    clock.advance(10_000);
    loop.tick();
    asked[0]!.fail(new DormouseError('no_space', 'the disk is full'));
    await settle();
    expect(told).toEqual([['a', 'the disk is full']]);
    clock.advance(4_999);
    loop.tick();
    expect(ids()).toEqual(['a']);
    clock.advance(1);
    loop.tick();
    expect(ids()).toEqual(['a', 'a']);
    asked[1]!.fail(new Error('again'));
    await settle();
    // Somebody uses it: what had failed before does not delay the next time.
    put('a');
    clock.advance(10_000);
    loop.tick();
    expect(ids()).toEqual(['a', 'a', 'a']);
  });

  test('that is closed waits for what has begun, and begins nothing more', async () => {
    const { clock, loop, asked, ids, put } = scene('a');
    clock.advance(10_000);
    loop.tick();
    let closed = false;
    const closing = loop.close().then(() => {
      closed = true;
    });
    put('b', { lastActiveMs: 0 });
    loop.tick();
    await new Promise((resolve) => setImmediate(resolve));
    expect([closed, ids()]).toEqual([false, ['a']]);
    asked[0]!.finish();
    await closing;
    expect(closed).toBe(true);
  });
});
