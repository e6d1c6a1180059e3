import type { Manifest } from '@dormouse/snapshot';
import type { VmDriver } from '@dormouse/vmm';
import { expect, test } from 'vitest';
import { sandboxId, specOf } from '../testing/journals.js';
import { assertSameMachine, machineFacts, pageCountOf } from './machine.js';

const spec = specOf(sandboxId('a'));
const never = () => Promise.reject(new Error('nobody starts a VM in this test'));
const driver: VmDriver = {
  facts: async (accelerator) => ({ vmm: 'qemu', accelerator }),
  boot: never,
  standBy: never,
  attach: never,
};
const kernel = { version: '6.1.0', vmlinuxPath: '/k/vmlinux', initramfsPath: '/k/initramfs-1.cpio' };
const environment = { driver, accelerator: 'tcg', kernel } as const;

/** As much of a manifest as counts here. */
async function savedOn(change: Readonly<Record<string, string | number>>): Promise<Manifest> {
  const machine = { ...(await machineFacts(environment, spec)), ...change };
  return { machine } as unknown as Manifest;
}

test('a machine is its VMM, kernel, agent and size', async () => {
  expect(pageCountOf(spec)).toBe(131_072);
  expect(await machineFacts(environment, spec)).toEqual({
    vmm: 'qemu',
    accelerator: 'tcg',
    kernel: '6.1.0',
    agent: 'initramfs-1.cpio',
    vcpus: 1,
    memoryMb: 512,
    diskBytes: 8_589_934_592,
  });
  await assertSameMachine(environment, await savedOn({}), spec);
});

test('hazard 20: memory with an earlier guest agent is accepted: the agent is a part of it', async () => {
  await assertSameMachine(environment, await savedOn({ agent: 'initramfs-0.cpio' }), spec);
});

test.each([
  ['kernel', '6.1.1', 'kernel was 6.1.1 and is 6.1.0'],
  ['memoryMb', 256, 'memoryMb was 256 and is 512'],
  ['accelerator', 'kvm', 'accelerator was kvm and is tcg'],
  ['vmmBuild', 'old', 'vmmBuild was old and is unknown'],
])('hazard 20: memory of another %s is refused, and told so', async (fact, value, difference) => {
  await expect(assertSameMachine(environment, await savedOn({ [fact]: value }), spec)).rejects.toMatchObject({
    code: 'snapshot_incompatible',
    message: `the memory was saved on another machine: ${difference}`,
    suggestion: 'Resume it with a reboot: its disk does not depend on the machine.',
  });
});
