import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { readConsoleLog } from '../console-log.js';
import type { MicroVm, VmIdentity, VmSpec, VmUser } from '../micro-vm.js';
import { isSameProcess } from '../process-identity.js';
import { greetGuest } from '../testing/greet-guest.js';
import { testMachine } from '../testing/test-machine.js';
import { vmAssets } from '../testing/vm-assets.js';
import { QemuDriver } from './driver.js';
import { probeKvm } from './probe-kvm.js';

const run = promisify(execFile);

async function fileHash(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}

const isRoot = process.geteuid?.() === 0;
/** The group that may open /dev/kvm; none where root alone may, or there is no such device. */
const kvmGroups = await stat('/dev/kvm').then(
  ({ gid }) => (gid === 0 ? [] : [gid]),
  () => [],
);
/** Not one of those that a host agent hands out. */
const VM_USER: VmUser = { uid: 1_906_999_999, gid: 1_906_999_999, groups: kvmGroups };

function identityOf(vm: MicroVm, { runDir, logDir, consoleLogPath }: VmSpec): VmIdentity {
  return { runDir, logDir, consoleLogPath, pid: vm.pid, startTicks: vm.startTicks };
}

/** A field of /proc/PID/status. */
async function statusField(pid: number, name: string): Promise<string | undefined> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*$`, 'm').exec(status)?.[1];
}

describe('a frozen VM', () => {
  test('holds still, saves its devices, takes a layer and runs on', async () => {
    await using machine = await testMachine();
    const { spec } = machine;
    const vm = await new QemuDriver().boot(spec);
    await greetGuest(vm.guestSocketPath, false);
    const device = Buffer.from(await vm.freeze());
    expect([device.toString('latin1', 0, 4), device.readUInt32BE(4)]).toEqual(['QEVM', 3]);
    expect(device.length).toBeLessThan(200_000);
    const before = await fileHash(spec.memoryPath);
    const layer = join(spec.logDir, 'layer.qcow2');
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', spec.diskPath, layer]);
    expect(await vm.topLayer()).toBe(spec.diskPath);
    await vm.pushLayer(layer);
    expect(await vm.topLayer()).toBe(layer);
    expect(await fileHash(spec.memoryPath)).toBe(before);
    await vm.thaw();
    await greetGuest(vm.guestSocketPath, true);
    await vm.thaw();
    // The same devices again, as whole. Subsections come and go: KVM saves a pending interrupt where there is one.
    const again = Buffer.from(await vm.freeze());
    expect(again.subarray(0, 8)).toEqual(device.subarray(0, 8));
    expect(Math.abs(again.length - device.length)).toBeLessThan(4096);
    await vm.kill();
    const { stdout } = await run('qemu-img', ['check', '--output=json', layer]);
    expect(JSON.parse(stdout)['check-errors']).toBe(0);
  });

  test('hazard 5: a freeze that fails leaves a VM that can run on', async () => {
    await using machine = await testMachine();
    const vm = await new QemuDriver().boot(machine.spec);
    await greetGuest(vm.guestSocketPath, false);
    await expect(vm.freeze(AbortSignal.abort())).rejects.toMatchObject({ code: 'pause_failed' });
    await vm.thaw();
    await greetGuest(vm.guestSocketPath, true);
    await vm.kill();
    await expect(vm.freeze()).rejects.toMatchObject({ code: 'pause_failed' });
  });
});

test('hazard 21: a process that stands by knows nothing of ours, waits, listens when it has a disk, and is gone when killed', async () => {
  await using machine = await testMachine();
  const { diskPath, consoleLogPath, ...spec } = machine.spec;
  const standby = await new QemuDriver().standBy({ ...spec, diskBytes: 8 * 1024 ** 3 });
  expect(await machine.processes()).toEqual([standby.pid]);
  // hazard 21: nothing of our environment but where programs are.
  const environment = await readFile(`/proc/${standby.pid}/environ`, 'utf8');
  expect(environment.split('\0').filter(Boolean)).toEqual([`PATH=${process.env.PATH}`]);
  const life = { diskPath: join(spec.logDir, 'nothing'), consoleLogPath };
  const incoming = join(spec.runDir, 'incoming.sock');
  await expect(standby.restore(life, incoming)).rejects.toMatchObject({ code: 'restore_failed' });
  const vm = await standby.restore({ ...life, diskPath }, incoming);
  expect(vm.pid).toBe(standby.pid);
  expect((await stat(incoming)).isSocket()).toBe(true);
  await standby.kill();
  await standby.kill();
  expect(await standby.exited).toEqual({ signal: 'SIGKILL', log: '' });
  expect(await machine.processes()).toEqual([]);
});

describe('a VM', () => {
  test('boots to a guest that answers, and is gone when killed', async () => {
    await using machine = await testMachine();
    const vm = await new QemuDriver().boot(machine.spec);
    expect(await machine.processes()).toEqual([vm.pid]);
    expect(await isSameProcess(vm.pid, vm.startTicks)).toBe(true);
    await greetGuest(vm.guestSocketPath, false);
    expect((await stat(machine.spec.memoryPath)).size).toBe(256 * 1024 * 1024);
    await vm.kill();
    expect(await vm.exited).toEqual({ signal: 'SIGKILL', log: '' });
    expect(await machine.processes()).toEqual([]);
    await vm.kill();
  });

  test('hazard 9: is found again by its identity after its driver let go, and by nobody else’s', async () => {
    await using machine = await testMachine();
    const { spec } = machine;
    const booted = await new QemuDriver().boot(spec);
    await greetGuest(booted.guestSocketPath, false);
    booted.detach();
    booted.detach();

    const driver = new QemuDriver();
    const identity = identityOf(booted, spec);
    expect(await driver.attach({ ...identity, startTicks: identity.startTicks + 1 })).toBeUndefined();
    expect(await driver.attach({ ...identity, pid: process.pid })).toBeUndefined();
    const vm = await driver.attach(identity);
    expect(vm?.pid).toBe(booted.pid);
    await greetGuest(vm!.guestSocketPath, true);

    process.kill(booted.pid, 'SIGKILL');
    expect(await vm!.exited).toEqual({ log: '' });
    expect(await driver.attach(identity)).toBeUndefined();
    expect(await machine.processes()).toEqual([]);
  });

  test('that panics ends with exit code 0, its last words in the console log', async () => {
    await using machine = await testMachine();
    const { spec } = machine;
    const initramfsPath = join(spec.logDir, 'initramfs');
    await writeFile(initramfsPath, '');
    const vm = await new QemuDriver().boot({ ...spec, initramfsPath });
    expect(await vm.exited).toEqual({ exitCode: 0, log: '' });
    const console = spec.consoleLogPath;
    await expect
      .poll(async () => (await readConsoleLog(console, 65_536)).toString(), { timeout: 10_000 })
      .toContain('Kernel panic - not syncing: VFS: Unable to mount root fs');
    expect(await machine.processes()).toEqual([]);
  });

  test.runIf(isRoot)(
    'runs as its user with one capability, no groups but KVM’s, no new privileges and a filter',
    async () => {
      await using machine = await testMachine(VM_USER);
      const vm = await new QemuDriver().boot(machine.spec);
      try {
        const { uid, gid } = VM_USER;
        expect(await statusField(vm.pid, 'Uid')).toBe([uid, uid, uid, uid].join('\t'));
        expect(await statusField(vm.pid, 'Gid')).toBe([gid, gid, gid, gid].join('\t'));
        expect(await statusField(vm.pid, 'Groups')).toBe(kvmGroups.join(' '));
        // Bit 19 is CAP_SYS_PTRACE (linux/capability.h), which userfaultfd asks for.
        for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
          expect([set, await statusField(vm.pid, set)]).toEqual([set, '0000000000080000']);
        }
        expect(await statusField(vm.pid, 'NoNewPrivs')).toBe('1');
        // Mode 2 is a filter (seccomp(2)): QEMU's own sandbox is on.
        expect(await statusField(vm.pid, 'Seccomp')).toBe('2');
        expect((await stat(machine.spec.memoryPath)).mode & 0o777).toBe(0o600);
        expect((await stat(machine.spec.memoryPath)).uid).toBe(uid);
        await greetGuest(vm.guestSocketPath, false);
      } finally {
        await vm.kill();
      }
    },
  );
});

describe('a VM that cannot start', () => {
  test("fails with QEMU's own words and leaves no process", async () => {
    await using machine = await testMachine();
    const memoryPath = '/dev/shm/no-such-directory/memory';
    await expect(new QemuDriver().boot({ ...machine.spec, memoryPath })).rejects.toMatchObject({
      code: 'boot_failed',
      message: expect.stringMatching(
        /^QEMU ended with exit code 1: qemu-system-x86_64: can't open backing store \/dev\/shm\/no-such-directory\/memory for guest RAM: No such file or directory$/,
      ),
    });
    expect(await machine.processes()).toEqual([]);
  });

  test('for want of its disk says which', async () => {
    await using machine = await testMachine();
    const diskPath = join(machine.spec.logDir, 'gone.qcow2');
    await expect(new QemuDriver().boot({ ...machine.spec, diskPath })).rejects.toMatchObject({
      code: 'boot_failed',
      message: expect.stringContaining(`Could not open '${diskPath}': No such file or directory`),
    });
    expect(await machine.processes()).toEqual([]);
  });

  test.each([
    ['a VM of one’s own user', undefined],
    ['a VM of another user', VM_USER],
  ])('because QEMU is not installed says so: %s', async (_name, user) => {
    if (user !== undefined && !isRoot) return;
    await using machine = await testMachine(user);
    const bin = await mkdtemp(join(tmpdir(), 'dormouse-bin-'));
    const path = process.env.PATH;
    try {
      await symlink('/usr/bin/setpriv', join(bin, 'setpriv'));
      process.env.PATH = bin;
      await expect(new QemuDriver().boot(machine.spec)).rejects.toMatchObject({
        code: 'missing_tool',
        message: 'qemu-system-x86_64 is not installed',
        suggestion: 'Run `./dormouse doctor`: it names the missing packages.',
      });
    } finally {
      process.env.PATH = path;
      await rm(bin, { recursive: true, force: true });
    }
    expect(await machine.processes()).toEqual([]);
  });

  test.each(['before', 'while'])('because it was cancelled %s leaves no process', async (moment) => {
    await using machine = await testMachine();
    const abort = new AbortController();
    if (moment === 'before') abort.abort();
    const booting = new QemuDriver().boot(machine.spec, abort.signal);
    if (moment === 'while') {
      await expect.poll(() => machine.processes(), { timeout: 30_000, interval: 1 }).toHaveLength(1);
      abort.abort();
      // Cancelling may come too late, when QEMU has answered already: then there is a VM, and it is whole.
      await booting.then(
        (vm) => vm.kill(),
        (error: unknown) => expect(error).toMatchObject({ name: 'AbortError' }),
      );
    } else {
      await expect(booting).rejects.toMatchObject({ name: 'AbortError' });
    }
    expect(await machine.processes()).toEqual([]);
  });
});

describe('the probe of KVM', () => {
  test('gives a verdict by booting a kernel, with a reason in words where it does not run', async () => {
    const { vmlinuxPath } = await vmAssets();
    const verdict = await probeKvm(vmlinuxPath);
    if (verdict.usable) return;
    expect(verdict.reason).toMatch(
      /^(\/dev\/kvm is missing or may not be opened|a guest kernel does not |Could not |qemu)/,
    );
  });

  test('of something that is no kernel is no', async () => {
    const verdict = await probeKvm('/etc/hostname');
    expect(verdict).toEqual({ usable: false, reason: expect.stringMatching(/.+/) });
  });
});
