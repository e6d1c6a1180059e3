import { readFileSync } from 'node:fs';
import { chmod, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { QemuDriver } from '@dormouse/vmm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Sandbox } from '../actor/sandbox.js';
import { generationsDir } from '../config/host-config.js';
import { DEFAULT_POLICY } from '../config/policy.js';
import { newSandboxId } from '../config/sandbox-spec.js';
import { runInGuest } from '../testing/run-in-guest.js';
import { type VmHost, vmHost } from '../testing/vm-host.js';

const REQUEST = { template: 'base', envs: {}, internet: false } as const;
const MEMORY_FILES = ['device.bin', 'memory.map', 'memory.pages'] as const;

const driver = new QemuDriver();
let vm: VmHost;

beforeAll(async () => {
  vm = await vmHost({ driver });
  await vm.host.freezeTemplate('base');
});
afterAll(async () => {
  await vm[Symbol.asyncDispose]();
});

/** A sandbox with something in memory and something on disk, paused. */
async function pausedSandbox(): Promise<Sandbox> {
  const sandbox = await vm.host.create(newSandboxId(), 1, REQUEST);
  const script = 'echo kept > /home/user/file; sync; echo remembered > /dev/shm/note';
  expect((await runInGuest(await sandbox.guest(), script)).exitCode).toBe(0);
  await vm.host.pause(sandbox.id, 1, 'full');
  return sandbox;
}

function artifact(generationId: string, name: string): string {
  return join(generationsDir(vm.config), generationId, name);
}

/** Damages a file for as long as `use` takes. */
async function damaged(path: string, how: string, use: () => Promise<void>): Promise<void> {
  const whole = await readFile(path);
  const { mode } = await stat(path);
  await chmod(path, 0o600);
  if (how === 'missing') await rm(path);
  else if (how === 'cut short') await truncate(path, Math.floor(whole.length / 2));
  else {
    const flipped = Buffer.from(whole);
    const at = Math.floor(whole.length / 2);
    flipped[at] = flipped[at]! ^ 0x01;
    await writeFile(path, flipped);
  }
  await use();
  await writeFile(path, whole, { mode });
  await chmod(path, mode);
}

async function expectMemory(sandbox: Sandbox): Promise<void> {
  const { stdout } = await runInGuest(await sandbox.guest(), 'cat /home/user/file /dev/shm/note');
  expect(stdout).toBe('kept\nremembered\n');
}

describe.each(['flipped in one bit', 'cut short', 'missing'])('hazard 6: an artifact that is %s', (how) => {
  test('of the memory is refused, or the sandbox is booted from its disk and says so', async () => {
    const sandbox = await pausedSandbox();
    const { generationId } = sandbox.journal.paused!;
    for (const name of MEMORY_FILES) {
      await damaged(artifact(generationId, name), how, async () => {
        const resumed = vm.host.resume(sandbox.id, 2, {
          policy: { ...DEFAULT_POLICY, onMemoryLoss: 'fail' },
        });
        await expect(resumed, name).rejects.toMatchObject({ code: 'snapshot_corrupt' });
        expect(sandbox.journal.state, name).toBe('paused');
      });
    }
    await damaged(artifact(generationId, 'memory.map'), how, async () => {
      await vm.host.resume(sandbox.id, 2, { policy: DEFAULT_POLICY });
    });
    const told = vm.host.events.pending().filter(({ sandboxId }) => sandboxId === sandbox.id);
    expect(told.map(({ kind }) => kind)).toEqual(['rebooted']);
    expect(sandbox.journal).toMatchObject({ state: 'running', resumedBy: 'reboot' });
    expect(sandbox.journal.reason).toMatch(/^its memory was lost: memory\.map of generation/);
    const { stdout } = await runInGuest(await sandbox.guest(), 'cat /home/user/file; ls /dev/shm');
    expect(stdout).toBe('kept\n');
    await vm.host.destroy(sandbox.id);
  });

  test('of the disk, or the manifest, is refused, and nothing is lost when it is whole again', async () => {
    const sandbox = await pausedSandbox();
    const { generationId } = sandbox.journal.paused!;
    for (const name of ['disk.qcow2', 'manifest.json']) {
      await damaged(artifact(generationId, name), how, async () => {
        for (const reboot of [false, true]) {
          const resumed = vm.host.resume(sandbox.id, 2, { reboot });
          await expect(resumed, name).rejects.toMatchObject({ code: 'snapshot_corrupt' });
        }
        expect(sandbox.journal.state, name).toBe('paused');
      });
    }
    await vm.host.resume(sandbox.id, 2);
    expect(sandbox.journal.resumedBy).toBe('memory');
    await expectMemory(sandbox);
    await vm.host.destroy(sandbox.id);
  });

  test('of the working set costs time and nothing else', async () => {
    const sandbox = await pausedSandbox();
    const path = artifact(sandbox.journal.paused!.generationId, 'working-set.bin');
    await damaged(path, how, async () => {
      await vm.host.resume(sandbox.id, 2);
      await expectMemory(sandbox);
      await sandbox.loaded();
    });
    expect(sandbox.journal.resumedBy).toBe('memory');
    await vm.host.destroy(sandbox.id);
  });
});

test('hazard 6: memory of a parent that is damaged is found when it is read, and no guest runs on with it', async () => {
  const sandbox = await pausedSandbox();
  const manifest = JSON.parse(
    readFileSync(artifact(sandbox.journal.paused!.generationId, 'manifest.json'), 'utf8'),
  );
  const parent: string = manifest.manifest.memory.sources[0];
  const pages = artifact(parent, 'memory.pages');
  const { atime, mtime } = await stat(pages);
  await damaged(pages, 'flipped in one bit', async () => {
    await utimes(pages, atime, mtime);
    const outcome = await vm.host.resume(sandbox.id, 2).then(
      () => 'resumed',
      (error: { code: string }) => error.code,
    );
    // Either the page belonged to what is sent ahead, or it is met while the rest follows: then it is booted.
    await expect
      .poll(() => [sandbox.journal.state, sandbox.journal.resumedBy], { timeout: 60_000 })
      .toEqual(['running', 'reboot']);
    expect(outcome).toBe('resumed');
    expect(sandbox.journal.reason).toMatch(/^its memory was lost: /);
  });
  const { stdout } = await runInGuest(await sandbox.guest(), 'cat /home/user/file');
  expect(stdout).toBe('kept\n');
  await vm.host.destroy(sandbox.id);
});

test('hazard 20: memory of another machine is refused by name, and its disk boots', async () => {
  const sandbox = await pausedSandbox();
  const { facts } = driver;
  driver.facts = async (accelerator) => ({ ...(await facts.call(driver, accelerator)), vmmBuild: 'another' });
  try {
    await expect(vm.host.resume(sandbox.id, 2)).rejects.toMatchObject({
      code: 'snapshot_incompatible',
      message: expect.stringMatching(
        /^the memory was saved on another machine: vmmBuild was .* and is another$/,
      ),
    });
    expect(sandbox.journal.state).toBe('paused');
    await vm.host.resume(sandbox.id, 2, { reboot: true });
    expect(sandbox.journal).toMatchObject({ state: 'running', resumedBy: 'reboot' });
  } finally {
    driver.facts = facts;
  }
  await vm.host.destroy(sandbox.id);
});
