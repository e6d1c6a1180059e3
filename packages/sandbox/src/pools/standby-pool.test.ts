import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import type { StandbyVm, VmDriver, VmExit } from '@dormouse/vmm';
import { expect, test } from 'vitest';
import { guestMemoryDir, type HostConfig, vmSlotsDir } from '../config/host-config.js';
import { temporaryDirectory } from '../testing/temporary-directory.js';
import { VmSlots } from '../vm/vm-slots.js';
import { type Shape, StandbyPool } from './standby-pool.js';

const SMALL: Shape = { vcpus: 1, memoryMb: 128, internet: false, diskBytes: 1_000_000 };
const LARGE: Shape = { ...SMALL, memoryMb: 512 };
const REFUSAL = new DormouseError('boot_failed', 'QEMU does not start today');

/** A process that exists only in the test. */
interface Puppet extends StandbyVm {
  readonly memoryBytes: number;
  end(): void;
}

/** A driver of processes that exist only in the test. */
function puppeteer() {
  const alive: Puppet[] = [];
  const state = { refuses: false };
  let nextPid = 1;
  const never = () => Promise.reject(REFUSAL);
  const driver: VmDriver = {
    facts: never,
    boot: never,
    attach: never,
    standBy: async ({ memoryBytes }) => {
      if (state.refuses) throw REFUSAL;
      let end: (exit: VmExit) => void = () => {};
      const exited = new Promise<VmExit>((resolve) => {
        end = resolve;
      });
      const puppet: Puppet = {
        pid: nextPid++,
        startTicks: 1,
        memoryBytes,
        exited,
        restore: never,
        kill: async () => puppet.end(),
        end: () => {
          const index = alive.indexOf(puppet);
          if (index >= 0) alive.splice(index, 1);
          end({ log: '' });
        },
      };
      alive.push(puppet);
      return puppet;
    },
  };
  return { driver, alive, state };
}

function poolIn(root: string, driver: VmDriver, size: number) {
  const memoryDir = join(root, 'shm');
  const config: HostConfig = {
    dataDir: root,
    assetsDir: root,
    memoryDir,
    agentPath: '/nonexistent',
    accelerator: 'tcg',
  };
  const slots = new VmSlots(config);
  const pool = new StandbyPool({ driver, accelerator: 'tcg', slots, size });
  const places = async (): Promise<number> =>
    (await readdir(vmSlotsDir(config))).length + (await readdir(guestMemoryDir(config))).length;
  return { pool, slots, places };
}

test('as many wait as shall, whoever comes takes one that waits, and all go at the end', async () => {
  await using dir = await temporaryDirectory();
  const { driver, alive } = puppeteer();
  const { pool, slots, places } = poolIn(dir.path, driver, 2);
  await pool.refill(SMALL);
  expect(pool.pids).toEqual([1, 2]);
  const taken = await pool.take(SMALL);
  expect(taken.vm.pid).toBe(1);
  await pool.refill();
  expect(pool.pids).toEqual([2, 3]);
  await pool.close();
  expect(alive.map(({ pid }) => pid)).toEqual([1]);
  await taken.vm.kill();
  await slots.release(taken.slot);
  expect(await places()).toBe(0);
});

test('another shape is started when it is wanted, and takes the places of those that wait', async () => {
  await using dir = await temporaryDirectory();
  const { driver, alive } = puppeteer();
  const { pool, places } = poolIn(dir.path, driver, 1);
  await pool.refill(SMALL);
  const { vm } = await pool.take(LARGE);
  expect(vm.pid).toBe(2);
  await pool.refill();
  expect(alive.map(({ memoryBytes }) => memoryBytes / 1024 / 1024)).toEqual([512, 512]);
  await pool.close();
  expect(await places()).toBe(2);
});

test('one that has ended by itself is given to nobody, and its place is freed', async () => {
  await using dir = await temporaryDirectory();
  const { driver, alive } = puppeteer();
  const { pool, places } = poolIn(dir.path, driver, 1);
  await pool.refill(SMALL);
  alive[0]!.end();
  await Promise.resolve();
  await pool.refill();
  expect(pool.pids).toEqual([2]);
  await pool.close();
  expect(await places()).toBe(0);
});

test('hazard 16: what cannot be started leaves no place, and says so to who needs it only', async () => {
  await using dir = await temporaryDirectory();
  const { driver, state } = puppeteer();
  const { pool, places } = poolIn(dir.path, driver, 1);
  state.refuses = true;
  await pool.refill(SMALL);
  expect(pool.pids).toEqual([]);
  await expect(pool.take(SMALL)).rejects.toBe(REFUSAL);
  expect(await places()).toBe(0);
  state.refuses = false;
  await pool.refill();
  expect(pool.pids).toEqual([1]);
  await pool.close();
});
