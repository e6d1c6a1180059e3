import { join } from 'node:path';
import { setImmediate as settle } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import type { Guest } from '@dormouse/guest-link';
import { describe, expect, test } from 'vitest';
import { FakeClock } from '../testing/fake-clock.js';
import { temporaryDirectory } from '../testing/temporary-directory.js';
import { MetricsHistory } from './history.js';
import { MetricsLoop, type Sampled } from './loop.js';
import { readMetrics } from './read.js';

const ALWAYS = { fromMs: 0, toMs: Number.MAX_SAFE_INTEGER };
/** As a guest tells them, one of them more than can be counted. */
const FIGURES = {
  uptimeMs: 2 ** 64,
  cpuCount: 2,
  cpuBusyMs: 10,
  cpuIdleMs: 20,
  memoryTotalBytes: 2n ** 64n - 1n,
  memoryAvailableBytes: 4n,
  memoryCachedBytes: 5n,
  swapUsedBytes: 6n,
  diskTotalBytes: 7n,
  diskUsedBytes: 8n,
  diskAvailableBytes: 9n,
  processes: 2 ** 40,
};

interface TestSandbox extends Sampled {
  isRunning: boolean;
  isSettled: boolean;
}

/** Guests that answer when the test says so. */
function scene(path: string) {
  const asked: { readonly id: string; answer(): void; fail(error: Error): void }[] = [];
  const sandboxes = new Map<string, TestSandbox>();
  const warned: string[] = [];
  const clock = new FakeClock();
  const loop = new MetricsLoop({
    list: () => [...sandboxes.values()],
    log: { info: () => {}, warn: ({ sandboxId }) => void warned.push(String(sandboxId)) },
    everyMs: 10_000,
    clock,
  });
  const put = (id: string): TestSandbox => {
    const guest = {
      metrics: () =>
        new Promise((resolve, reject) => {
          asked.push({ id, answer: () => resolve(FIGURES), fail: reject });
        }),
    };
    const sandbox: TestSandbox = {
      id,
      isRunning: true,
      isSettled: true,
      metrics: new MetricsHistory(join(path, `${id}.bin`)),
      observe: async () => guest as unknown as Guest,
    };
    sandboxes.set(id, sandbox);
    return sandbox;
  };
  return { loop, clock, asked, put, sandboxes, warned, ids: () => asked.map(({ id }) => id) };
}

describe('the loop over metrics', () => {
  test('measures who runs and has all its memory, and keeps what can be counted with', async () => {
    await using dir = await temporaryDirectory();
    const { loop, asked, put, ids } = scene(dir.path);
    const running = put('a');
    Object.assign(put('paused'), { isRunning: false, isSettled: false });
    put('loading').isSettled = false;
    const round = loop.tick();
    await settle();
    expect(ids()).toEqual(['a']);
    asked[0]!.answer();
    await round;
    const most = Number.MAX_SAFE_INTEGER;
    expect(await running.metrics.read(ALWAYS)).toEqual([
      {
        atMs: expect.any(Number),
        uptimeMs: most,
        cpuCount: 2,
        cpuBusyMs: 10,
        cpuIdleMs: 20,
        memoryTotalBytes: most,
        memoryAvailableBytes: 4,
        memoryCachedBytes: 5,
        diskTotalBytes: 7,
        diskUsedBytes: 8,
        diskAvailableBytes: 9,
        processCount: 0xffff_ffff,
      },
    ]);
  });

  test('asks eight at a time, and begins no round before the last one is over', async () => {
    await using dir = await temporaryDirectory();
    const { loop, asked, put, ids } = scene(dir.path);
    for (let index = 0; index < 9; index++) put(`${index}`);
    const round = loop.tick();
    void loop.tick();
    await settle();
    expect(ids()).toHaveLength(8);
    asked[3]!.answer();
    while (asked.length < 9) await settle();
    expect(ids().at(-1)).toBe('8');
    for (const one of asked) one.answer();
    await round;
    expect(asked).toHaveLength(9);
  });

  test('leaves a guest that does not answer alone for a minute, and says so once', async () => {
    await using dir = await temporaryDirectory();
    const { loop, clock, asked, put, warned, ids } = scene(dir.path);
    put('a');
    for (const ms of [0, 59_999, 1]) {
      clock.advance(ms);
      const round = loop.tick();
      await settle();
      asked.at(-1)!.fail(new DormouseError('timeout', 'it hangs'));
      await round;
    }
    expect(ids()).toEqual(['a', 'a']);
    expect(warned).toEqual(['a']);
  });

  test('takes a pause in the middle for no failure', async () => {
    await using dir = await temporaryDirectory();
    const { loop, asked, put, warned } = scene(dir.path);
    const sandbox = put('a');
    const round = loop.tick();
    await settle();
    sandbox.isSettled = false;
    asked[0]!.fail(new DormouseError('invalid_state', 'the sandbox was paused'));
    await round;
    expect(warned).toEqual([]);
    sandbox.isSettled = true;
    void loop.tick();
    await settle();
    expect(asked).toHaveLength(2);
    asked[1]!.answer();
    await loop.close();
    expect(await sandbox.metrics.read(ALWAYS)).toHaveLength(1);
  });
});

describe('what is told of a sandbox', () => {
  test('ends with the present moment when it runs and that is in range', async () => {
    await using dir = await temporaryDirectory();
    const { loop, asked, put } = scene(dir.path);
    const sandbox = put('a');
    const round = loop.tick();
    await settle();
    asked[0]!.answer();
    await round;
    const now = readMetrics(sandbox, ALWAYS);
    await settle();
    asked[1]!.answer();
    expect(await now).toHaveLength(2);
    expect(await readMetrics(sandbox, { fromMs: 0, toMs: Date.now() - 60_000 })).toEqual([]);
    expect(await readMetrics(sandbox, { fromMs: Date.now() + 60_000, toMs: ALWAYS.toMs })).toEqual([]);
    sandbox.isRunning = false;
    expect(await readMetrics(sandbox, ALWAYS)).toHaveLength(1);
    expect(asked).toHaveLength(2);
  });

  test('is what is kept when the guest does not answer', async () => {
    await using dir = await temporaryDirectory();
    const { asked, put } = scene(dir.path);
    const now = readMetrics(put('a'), ALWAYS);
    await settle();
    asked[0]!.fail(new DormouseError('timeout', 'it hangs'));
    expect(await now).toEqual([]);
  });
});
