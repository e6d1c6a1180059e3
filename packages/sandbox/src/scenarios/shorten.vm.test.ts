import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { generationsDir } from '../config/host-config.js';
import { newSandboxId } from '../config/sandbox-spec.js';
import { runInGuest } from '../testing/run-in-guest.js';
import { vmHost } from '../testing/vm-host.js';

const ROUNDS = 5;

test('hazard 19: a sandbox that sleeps often keeps short chains, and everything in it', async () => {
  await using vm = await vmHost({ chains: { maxLayers: 2, maxSources: 2 } });
  const { host, config } = vm;
  const sandbox = await host.create(newSandboxId(), 1, { template: 'base', envs: {}, internet: false });
  for (let round = 1; round <= ROUNDS; round++) {
    const script = `echo ${round} >> /home/user/rounds; echo ${round} >> /dev/shm/rounds; seq ${round} 50000 > /home/user/file-${round}; sync`;
    expect((await runInGuest(await sandbox.guest(), script)).exitCode).toBe(0);
    await host.pause(sandbox.id, round, 'full');
    await host.settled();
    const { generationId } = sandbox.journal.paused!;
    const text = await readFile(join(generationsDir(config), generationId, 'manifest.json'), 'utf8');
    const { manifest } = JSON.parse(text);
    expect(manifest.memory.sources.length, `round ${round}`).toBeLessThanOrEqual(1);
    await host.collect(0);
    await host.resume(sandbox.id, round + 1);
    expect(sandbox.journal.resumedBy).toBe('memory');
  }
  const { stdout } = await runInGuest(await sandbox.guest(), 'paste -sd, /home/user/rounds /dev/shm/rounds');
  expect(stdout).toBe('1,2,3,4,5\n1,2,3,4,5\n');
  // From the disk, which the guest's memory would hide.
  const compare = `for f in 1 2 3 4 5; do seq $f 50000 | cmp - /home/user/file-$f; done`;
  const fromDisk = `echo 3 > /proc/sys/vm/drop_caches; ${compare}`;
  expect(await runInGuest(await sandbox.guest(), fromDisk, 'root')).toMatchObject({
    exitCode: 0,
    stdout: '',
  });
  // What the last one lies on, and itself once more at most.
  await sandbox.loaded();
  const { generations } = await vm.remains();
  expect(generations.length).toBeLessThanOrEqual(3);
});

test('hazard 19: a moment that nobody refers to any more stays until its shortening has ended', async () => {
  await using vm = await vmHost({ chains: { maxLayers: 1, maxSources: 1 } });
  const { host } = vm;
  const sandbox = await host.create(newSandboxId(), 1, { template: 'base', envs: {}, internet: false });
  await host.pause(sandbox.id, 1, 'full');
  await host.resume(sandbox.id, 2);
  await host.pause(sandbox.id, 2, 'full');
  await host.destroy(sandbox.id);
  await host.collect(0);
  await host.settled();
  expect(vm.warnings).toEqual([]);
  await host.collect(0);
  expect(await vm.remains()).toMatchObject({ generations: [], layers: [], unfinished: [] });
});
