import { setTimeout as wait } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Sandbox } from '../actor/sandbox.js';
import { DEFAULT_POLICY, type Policy } from '../config/policy.js';
import { newSandboxId } from '../config/sandbox-spec.js';
import { runInGuest } from '../testing/run-in-guest.js';
import { NOTHING, type VmHost, vmHost } from '../testing/vm-host.js';

const TIMEOUT_SEC = 3;
const REQUEST = { template: 'base', envs: {}, internet: false } as const;
const PATIENCE_MS = 120_000;

let vm: VmHost;

beforeAll(async () => {
  vm = await vmHost();
  await vm.host.freezeTemplate('base');
  vm.host.startExpiry();
});
afterAll(async () => {
  await vm[Symbol.asyncDispose]();
});

async function sandboxOf(policy: Partial<Policy>): Promise<Sandbox> {
  return await vm.host.create(newSandboxId(), 1, { ...REQUEST, policy: { ...DEFAULT_POLICY, ...policy } });
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('it does not come about');
    await wait(20);
  }
}

const eventsOf = (id: string) =>
  vm.host.events
    .pending()
    .filter(({ sandboxId }) => sandboxId === id)
    .map(({ kind, generation, reason }) => [kind, generation, reason]);

describe('hazard 22: a sandbox whose timeout is 3 s', () => {
  test('is paused 3 s after its last use, as by hand, with everything in it', async () => {
    const [timed, byHand] = [await sandboxOf({ timeoutSec: TIMEOUT_SEC }), await sandboxOf({})];
    for (const sandbox of [byHand, timed]) {
      await runInGuest(await sandbox.guest(), 'echo kept > /home/user/file; echo remembered > /dev/shm/note');
    }
    const usedAtMs = timed.lastActiveAtMs;
    await until(() => timed.journal.state === 'pausing' || timed.journal.state === 'paused');
    expect(Date.now() - usedAtMs).toBeGreaterThanOrEqual(TIMEOUT_SEC * 1_000 - 1);
    await until(() => timed.journal.state === 'paused' && timed.vmPid === undefined);
    await vm.host.pause(byHand.id, 1, 'full');
    const shape = ({ journal }: Sandbox) =>
      Object.entries(journal).flatMap(([key, value]) => (value === undefined ? [] : [key]));
    expect(shape(timed).toSorted()).toEqual(shape(byHand).toSorted());
    expect(timed.journal.paused).toMatchObject({ kind: 'full', cause: 'timeout' });
    expect(byHand.journal.paused?.cause).toBeUndefined();
    expect(eventsOf(timed.id)).toEqual([['auto_paused', 1, 'it was not used for 3 s']]);
    expect(eventsOf(byHand.id)).toEqual([]);

    const policy = { ...DEFAULT_POLICY, timeoutSec: 0 };
    await vm.host.resume(timed.id, 2, { policy });
    const { stdout } = await runInGuest(await timed.guest(), 'cat /home/user/file /dev/shm/note');
    expect(stdout).toBe('kept\nremembered\n');
    for (const { id } of [timed, byHand]) await vm.host.destroy(id);
  });

  test('is not paused in the middle of something silent, and not by who only looks at it', async () => {
    const sandbox = await sandboxOf({ timeoutSec: TIMEOUT_SEC });
    const use = await sandbox.use();
    const process = await use.guest.startProcess({ argv: ['/bin/sleep', '6'] });
    expect((await process.exit).exitCode).toBe(0);
    expect(sandbox.journal.state).toBe('running');
    use[Symbol.dispose]();
    const idleFromMs = performance.now();
    while (sandbox.journal.state === 'running') {
      // Refused once its time has passed, while it is being paused.
      const looked = sandbox.observe().then((guest) => guest.metrics());
      await looked.catch((error: unknown) => expect(error).toBeInstanceOf(DormouseError));
      await wait(100);
      expect(performance.now() - idleFromMs).toBeLessThan(PATIENCE_MS);
    }
    await until(() => sandbox.journal.state === 'paused');
    await vm.host.destroy(sandbox.id);
  });

  test('is not paused while it is touched, and never once the timeout is taken from it', async () => {
    const sandbox = await sandboxOf({ timeoutSec: TIMEOUT_SEC });
    for (let second = 0; second < 5; second++) {
      sandbox.touch();
      await wait(1_000);
    }
    expect(sandbox.journal.state).toBe('running');
    await vm.host.resume(sandbox.id, 1, { policy: { ...DEFAULT_POLICY, timeoutSec: 0 } });
    await wait(2 * TIMEOUT_SEC * 1_000);
    expect([sandbox.journal.state, sandbox.journal.policy.timeoutSec]).toEqual(['running', 0]);
    await vm.host.destroy(sandbox.id);
  });

  test('hazard 16: is gone when it is to be killed, and says so', async () => {
    const sandbox = await sandboxOf({ timeoutSec: TIMEOUT_SEC, onTimeout: 'kill' });
    await until(() => !vm.host.list().includes(sandbox));
    expect(eventsOf(sandbox.id)).toEqual([['killed', 1, 'it was not used for 3 s']]);
    expect(await vm.presence()).toMatchObject({ ...NOTHING, processes: expect.anything() });
  });
});
