import { parseSavedStream } from '../saved/saved-stream.js';
import type { GuestAssets } from './test-initramfs.js';
import { TestVm } from './test-vm.js';

/** The recorded streams, and what their guests have besides a serial port and a disk. */
export const RECORDED: {
  readonly plain: readonly string[];
  readonly devices: readonly string[];
} = {
  plain: [],
  devices: [
    ...['-smp', '2', '-netdev', 'user,id=net0', '-device', 'virtio-net-device,netdev=net0'],
    ...['-object', 'rng-random,id=rng0,filename=/dev/urandom', '-device', 'virtio-rng-device,rng=rng0'],
  ],
};

/** Boots a guest and answers what QEMU saves of it. */
export async function recordStream(assets: GuestAssets, devices: readonly string[]): Promise<Buffer> {
  await using vm = await TestVm.start(assets, { devices });
  await vm.shell.ready();
  const stream = await vm.freeze();
  // The firmware has a licence of its own and no part in the tests: its pages become patterns. They are views.
  for (const [index, page] of parseSavedStream(stream).ram.pages.entries()) page.content?.fill(index + 1);
  return stream;
}
