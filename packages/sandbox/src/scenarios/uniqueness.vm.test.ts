import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newSandboxId } from '../config/sandbox-spec.js';
import { runInGuest } from '../testing/run-in-guest.js';
import { type VmHost, vmHost } from '../testing/vm-host.js';

const REQUEST = { template: 'base', envs: {}, internet: false } as const;
/** 100 in the long run: `DORMOUSE_CLONES=100`. */
const CLONES = Number(process.env.DORMOUSE_CLONES ?? 8);
const ASLEEP_MS = 3_000;

/** The clock is right within this, at the first instruction. */
const RIGHT_MS = 100;

let vm: VmHost;

beforeAll(async () => {
  vm = await vmHost();
  await vm.host.freezeTemplate('base');
});
afterAll(async () => {
  await vm[Symbol.asyncDispose]();
});

/**
 * A program that reads the time and randomness as fast as it can and keeps what it read first after the clock has
 * jumped: the first of a new life. Every time is compared with the one before it, wherever between two of its
 * instructions the program was frozen.
 */
const READER = `
import os, time
before = time.time()
while True:
    now = time.time()
    random = os.urandom(8).hex()
    if now - before > 2:
        with open('/dev/shm/first', 'w') as f:
            f.write(f'{random} {now:.6f}\\n')
    before = now
    with open('/dev/shm/loops', 'w') as f: f.write('x')
`;

/** Waits until the reader has gone on in the new life. */
const FIRST = 'while [ ! -s /dev/shm/first ]; do sleep 0.05; done';

describe(`${CLONES} clones of one moment`, () => {
  test('hazard 10: read different randomness at once, and have names and machine ids of their own', async () => {
    const source = await vm.host.create(newSandboxId(), 1, REQUEST);
    const guest = await source.guest();
    await guest.writeFile('/home/user/reader.py', Buffer.from(READER));
    await runInGuest(
      guest,
      'setsid python3 /home/user/reader.py > /dev/null 2>&1 & while [ ! -e /dev/shm/loops ]; do :; done',
    );
    const snapshot = await vm.host.createSnapshot(`sn${newSandboxId().slice(2)}`, source.id, 'full');
    await vm.host.destroy(source.id);
    // The clones must notice that time has passed.
    await delay(ASLEEP_MS);
    const seen: { random: string; machineId: string; hostname: string; lateMs: number }[] = [];
    for (let index = 0; index < CLONES; index++) {
      const id = newSandboxId();
      const beforeMs = Date.now();
      const clone = await vm.host.create(id, 1, { ...REQUEST, snapshotId: snapshot.id });
      const script = `${FIRST}; cat /dev/shm/first /etc/machine-id; hostname; cat /proc/sys/kernel/hostname`;
      const { stdout } = await runInGuest(await clone.guest(), script);
      const readMs = Date.now();
      const [first = '', machineId = '', hostname = '', kernelName = ''] = stdout.split('\n');
      const [random = '', time = ''] = first.split(' ');
      expect([hostname, kernelName]).toEqual([id, id]);
      expect(machineId).toMatch(/^[0-9a-f]{32}$/);
      const guestMs = Number(time) * 1_000;
      // Hazard 11: the first instruction of the new life was between the request and the look at what it wrote.
      seen.push({ random, machineId, hostname, lateMs: Math.max(beforeMs - guestMs, guestMs - readMs, 0) });
      await vm.host.destroy(id);
    }
    for (const key of ['random', 'machineId', 'hostname'] as const) {
      expect(new Set(seen.map((one) => one[key])).size, key).toBe(CLONES);
    }
    expect(Math.max(...seen.map(({ lateMs }) => lateMs))).toBeLessThan(RIGHT_MS);
    await vm.host.deleteSnapshot(snapshot.id);
  });
});

test('hazard 11: after a pause the clock is right at the first instruction, and goes on', async () => {
  const sandbox = await vm.host.create(newSandboxId(), 1, REQUEST);
  const guest = await sandbox.guest();
  await guest.writeFile('/home/user/reader.py', Buffer.from(READER));
  await runInGuest(
    guest,
    'setsid python3 /home/user/reader.py > /dev/null 2>&1 & while [ ! -e /dev/shm/loops ]; do :; done',
  );
  await vm.host.pause(sandbox.id, 1, 'full');
  await delay(ASLEEP_MS);
  const beforeMs = Date.now();
  await vm.host.resume(sandbox.id, 2);
  const { stdout } = await runInGuest(await sandbox.guest(), `${FIRST}; cut -d" " -f2 /dev/shm/first`);
  const readMs = Date.now();
  const guestMs = Number(stdout) * 1_000;
  expect(guestMs).toBeGreaterThan(beforeMs - 100);
  expect(guestMs).toBeLessThan(readMs + 100);
  const askedMs = Date.now();
  const now = Number((await runInGuest(await sandbox.guest(), 'date +%s.%N')).stdout) * 1_000;
  expect(now).toBeGreaterThan(askedMs - 100);
  expect(now).toBeLessThan(Date.now() + 100);
  await vm.host.destroy(sandbox.id);
});
