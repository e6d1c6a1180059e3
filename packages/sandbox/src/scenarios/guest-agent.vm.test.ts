import { afterAll, beforeAll, expect, test } from 'vitest';
import { newSandboxId } from '../config/sandbox-spec.js';
import { runInGuest } from '../testing/run-in-guest.js';
import { type VmHost, vmHost } from '../testing/vm-host.js';

const REQUEST = { template: 'base', envs: {}, internet: true } as const;

let vm: VmHost;
beforeAll(async () => {
  vm = await vmHost({ memoryMb: 128 });
});
afterAll(async () => {
  await vm[Symbol.asyncDispose]();
});

test('hazard 16: controllers that a root user enables inside keep no program from starting, after a pause either', async () => {
  const sandbox = await vm.host.create(newSandboxId(), 1, REQUEST);
  const sh = async (script: string): Promise<string> =>
    (await runInGuest(await sandbox.guest(), script, 'root')).stdout;
  await sh(
    'cd /sys/fs/cgroup; mkdir c; for p in $(cat programs/cgroup.procs); do echo $p > c/cgroup.procs; done; ' +
      'echo +memory > cgroup.subtree_control; echo +memory > programs/cgroup.subtree_control',
  );
  expect(await sh('cat /proc/self/cgroup')).toBe('0::/programs-1\n');
  await vm.host.pause(sandbox.id, 1, 'full');
  await vm.host.resume(sandbox.id, 2);
  expect(await sh('echo goes on')).toBe('goes on\n');
  await vm.host.destroy(sandbox.id);
});

test('hazard 5: a root user who makes files in /etc unwritable keeps no fork from starting, and it is reported', async () => {
  const sandbox = await vm.host.create(newSandboxId(), 1, REQUEST);
  const lines = Array.from({ length: 3_000 }, (_, index) => `10.9.${index >> 8}.${index & 255} host${index}`);
  await (await sandbox.guest()).writeFile('/tmp/lines', Buffer.from(`${lines.join('\n')}\n`));
  const { exitCode } = await runInGuest(
    await sandbox.guest(),
    'cat /tmp/lines >> /etc/hosts && rm -f /etc/resolv.conf && mkdir /etc/resolv.conf',
    'root',
  );
  expect(exitCode).toBe(0);
  vm.warnings.splice(0);
  const children = [newSandboxId(), newSandboxId()];
  const results = await vm.host.fork(
    sandbox.id,
    children.map((id) => ({ id, generation: 1 })),
  );
  for (const result of results) expect(result).not.toHaveProperty('error');
  for (const id of children) {
    const { stdout } = await runInGuest(
      await vm.host.get(id).guest(),
      'grep -c " host[0-9]*$" /etc/hosts; hostname',
    );
    expect(stdout).toBe(`3000\n${id}\n`);
  }
  expect(vm.warnings).toContain("the guest agent could not set everything that is the sandbox's own");
});
