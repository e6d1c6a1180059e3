import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseSavedStream } from '../saved/saved-stream.js';
import { temporaryDirectory } from './temporary-directory.js';
import { guestAssets } from './test-initramfs.js';
import { TestVm } from './test-vm.js';

/** Makes the recorded streams anew: `npm run record -w packages/qemu-stream`, with DORMOUSE_ASSETS_DIR set. */
const STREAMS: Record<string, readonly string[]> = {
  'plain.bin': [],
  'devices.bin': [
    ...['-smp', '2', '-netdev', 'user,id=net0', '-device', 'virtio-net-device,netdev=net0'],
    ...['-object', 'rng-random,id=rng0,filename=/dev/urandom', '-device', 'virtio-rng-device,rng=rng0'],
  ],
};

await using folder = await temporaryDirectory();
const assets = await guestAssets(folder.path);
for (const [name, devices] of Object.entries(STREAMS)) {
  await using vm = await TestVm.start(assets, { devices });
  await vm.shell.ready();
  const path = fileURLToPath(new URL(`../../src/testing/fixtures/${name}`, import.meta.url));
  const stream = await vm.freeze();
  // The firmware has a licence of its own and no part in the tests: its pages become patterns. They are views.
  for (const [index, page] of parseSavedStream(stream).ram.pages.entries()) page.content?.fill(index + 1);
  await writeFile(path, stream);
}
