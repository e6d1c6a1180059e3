import { afterAll, beforeAll, expect, test } from 'vitest';
import { newSandboxId, type SandboxRequest } from '../config/sandbox-spec.js';
import { runInGuest } from '../testing/run-in-guest.js';
import { NOTHING, type VmHost, vmHost } from '../testing/vm-host.js';

const REQUEST: SandboxRequest = { template: 'base', envs: { COLOUR: 'blue' }, internet: true };
const ROUNDS = 3;

let vm: VmHost;
beforeAll(async () => {
  vm = await vmHost({ readySandboxes: 1 });
  await vm.host.freezeTemplate('base');
  await vm.host.warmUp('base');
});
afterAll(() => vm[Symbol.asyncDispose]());

/** VM processes, and the memory files they have. */
async function machines(): Promise<{ readonly vms: number; readonly memory: number }> {
  const { processes, memory } = await vm.presence();
  return { vms: processes.filter((line) => line.includes('qemu-system')).length, memory: memory.length };
}

/** The VM process there is, when there is one. */
async function waitingPid(): Promise<number> {
  const { processes } = await vm.presence();
  return Number(processes.find((line) => line.includes('qemu-system'))?.split(' ')[0]);
}

test('hazard 10: a sandbox that has waited is given what is its own before anything of it runs', async () => {
  const seen: string[][] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await vm.host.warmUp('base');
    expect(await machines()).toEqual({ vms: 1, memory: 1 });
    const waiting = await waitingPid();
    const id = newSandboxId();
    const sandbox = await vm.host.create(id, 1, REQUEST);
    // The one that waited: no other process was started for it.
    expect(sandbox.vmPid).toBe(waiting);
    const guest = await sandbox.guest();
    // What was run in it while it waited is not to be seen.
    expect(await guest.listProcesses()).toEqual([]);
    const script =
      'hostname; echo $COLOUR; cat /etc/machine-id; head -c 8 /dev/urandom | od -An -tx8; date +%s%3N; ls /etc/ssh | grep -c ssh_host_';
    const askedMs = Date.now();
    const { stdout } = await runInGuest(guest, script);
    const [hostname, colour, machineId = '', random = '', time, hostKeys] = stdout.split('\n');
    expect([hostname, colour, hostKeys]).toEqual([id, 'blue', '0']);
    expect(Number(time)).toBeGreaterThan(askedMs - 100);
    expect(Number(time)).toBeLessThan(Date.now() + 100);
    seen.push([machineId, random]);
    expect(await sandbox.readConsole(10)).toEqual(Buffer.alloc(0));
    await vm.host.pause(id, 1, 'full');
    await vm.host.resume(id, 2);
    expect((await runInGuest(await sandbox.guest(), 'hostname')).stdout).toBe(`${id}\n`);
    await vm.host.destroy(id);
  }
  for (const column of [0, 1]) expect(new Set(seen.map((row) => row[column])).size).toBe(ROUNDS);
  expect(vm.warnings.splice(0)).toEqual([]);
});

test('hazard 7: one that waited and has ended is noticed, and the next sandbox is restored', async () => {
  await vm.host.warmUp('base');
  process.kill(await waitingPid(), 'SIGKILL');
  const id = newSandboxId();
  const sandbox = await vm.host.create(id, 1, REQUEST);
  expect((await runInGuest(await sandbox.guest(), 'echo $COLOUR')).stdout).toBe('blue\n');
  await vm.host.destroy(id);
});

test('hazard 16: an agent that goes leaves none that waits, and so does one that was killed', async () => {
  await vm.host.warmUp('base');
  expect(await machines()).toEqual({ vms: 1, memory: 1 });
  const before = vm.host;
  // As after a crash: nobody has let go of anything.
  await vm.reopen();
  expect(await machines()).toEqual({ vms: 0, memory: 0 });
  await vm.host.warmUp('base');
  expect(await machines()).toEqual({ vms: 1, memory: 1 });
  await vm.host.release();
  await before.release();
  const { processes, memory, layers } = { ...(await vm.presence()), layers: (await vm.remains()).layers };
  expect({ processes, memory, layers }).toEqual({ processes: NOTHING.processes, memory: [], layers: [] });
});
