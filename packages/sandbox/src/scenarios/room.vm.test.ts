import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { generationsDir } from '../config/host-config.js';
import { newSandboxId } from '../config/sandbox-spec.js';
import type { Step } from '../environment.js';
import { runInGuest } from '../testing/run-in-guest.js';
import { type VmHost, vmHost } from '../testing/vm-host.js';

const REQUEST = { template: 'base', envs: {}, internet: false } as const;
const MIB = 1024 * 1024;
const isRoot = process.geteuid?.() === 0;

let vm: VmHost;
let dataDir: string;
let atStep: (step: Step) => Promise<void> = async () => {};

beforeAll(async () => {
  if (!isRoot) return;
  dataDir = await mkdtemp('/var/tmp/dormouse-room-');
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=700m,mode=711', 'none', dataDir]);
  vm = await vmHost({ dataDir, onStep: (step) => atStep(step) });
});
afterAll(async () => {
  if (!isRoot) return;
  await vm[Symbol.asyncDispose]();
  // The last logs may still be on their way to their files.
  execFileSync('umount', ['--lazy', dataDir]);
  await rm(dataDir, { recursive: true, force: true });
});

/** Leaves so much of the disk. */
async function leaveFree(bytes: number): Promise<void> {
  const free = Number(execFileSync('df', ['--output=avail', '-B1', dataDir]).toString().split('\n')[1]);
  await writeFile(join(dataDir, 'ballast'), Buffer.alloc(free - bytes));
}

async function giveBack(): Promise<void> {
  await rm(join(dataDir, 'ballast'), { force: true });
}

test.runIf(isRoot)(
  'hazard 18: a pause for which there is no room is refused before anything stands still',
  async () => {
    const sandbox = await vm.host.create(newSandboxId(), 1, REQUEST);
    const steps: Step[] = [];
    atStep = async (step) => void steps.push(step);
    await leaveFree(20 * MIB);
    await expect(vm.host.pause(sandbox.id, 1, 'full')).rejects.toMatchObject({ code: 'no_space' });
    expect(steps).toEqual([]);
    expect((await runInGuest(await sandbox.guest(), 'echo on')).stdout).toBe('on\n');
    await giveBack();
    await vm.host.pause(sandbox.id, 1, 'full');
    expect(sandbox.journal.state).toBe('paused');
    await vm.host.destroy(sandbox.id);
  },
);

test.runIf(isRoot)(
  'hazard 18: a disk that fills up in the middle rolls the pause back, and nothing is half made',
  async () => {
    const sandbox = await vm.host.create(newSandboxId(), 1, REQUEST);
    expect((await runInGuest(await sandbox.guest(), 'echo kept > /dev/shm/note')).exitCode).toBe(0);
    const before = await readdir(generationsDir(vm.config));
    for (const full of ['held', 'frozen'] as const) {
      atStep = async (step) => {
        if (step === full) await leaveFree(2 * MIB);
      };
      await expect(vm.host.pause(sandbox.id, 1, 'full'), full).rejects.toMatchObject({ code: 'no_space' });
      atStep = async () => {};
      expect(sandbox.journal.state).toBe('running');
      await giveBack();
      expect((await runInGuest(await sandbox.guest(), 'cat /dev/shm/note')).stdout).toBe('kept\n');
      expect(await readdir(generationsDir(vm.config))).toEqual(before);
    }
    await vm.host.pause(sandbox.id, 1, 'full');
    await vm.host.resume(sandbox.id, 2);
    expect((await runInGuest(await sandbox.guest(), 'cat /dev/shm/note')).stdout).toBe('kept\n');
    await vm.host.destroy(sandbox.id);
  },
);
