import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { guestMemoryDir, type HostConfig, vmSlotsDir } from '../config/host-config.js';
import { temporaryDirectory } from '../testing/temporary-directory.js';
import { VmSlots } from './vm-slots.js';
import { canChangeUser } from './vm-users.js';

function configOf(root: string): HostConfig {
  const memoryDir = join(root, 'shm');
  return { dataDir: root, assetsDir: root, memoryDir, agentPath: '/nonexistent', accelerator: 'tcg' };
}

test('a place is empty, its user’s own, and gone when it is given up, also twice', async () => {
  await using dir = await temporaryDirectory();
  const config = configOf(dir.path);
  const slots = new VmSlots(config);
  const [one, other] = [await slots.take(), await slots.take()];
  expect(one.record.slot).not.toBe(other.record.slot);
  if (canChangeUser()) expect(one.record.uid).not.toBe(other.record.uid);
  expect(await readFile(one.memoryPath)).toHaveLength(0);
  const owners = await Promise.all([one.runDir, one.memoryPath].map(async (path) => (await stat(path)).uid));
  const owner = one.record.uid ?? process.getuid?.();
  expect(owners).toEqual([owner, owner]);
  await writeFile(join(one.runDir, 'left'), 'by the last VM');
  await writeFile(one.memoryPath, 'of the last VM');
  await slots.clear(one);
  expect(await readdir(one.runDir)).toEqual([]);
  expect(await readFile(one.memoryPath)).toHaveLength(0);
  await slots.release(one);
  await slots.release(one);
  expect(await readdir(vmSlotsDir(config))).toEqual([other.record.slot]);
  expect(await readdir(guestMemoryDir(config))).toEqual([other.record.slot]);
  await slots.release(other);
});

test.runIf(canChangeUser())('a user that a journal names is not given to another', async () => {
  await using dir = await temporaryDirectory();
  const first = await new VmSlots(configOf(dir.path)).take();
  const slots = new VmSlots(configOf(dir.path));
  const adopted = await slots.adopt(first.record);
  expect(adopted.memoryPath).toBe(first.memoryPath);
  const next = await slots.take();
  expect(next.record.uid).not.toBe(first.record.uid);
});

test('hazard 16: places and memory that no journal names are freed', async () => {
  await using dir = await temporaryDirectory();
  const config = configOf(dir.path);
  const slots = new VmSlots(config);
  const [known, unknown] = [await slots.take(), await slots.take()];
  await mkdir(guestMemoryDir(config), { recursive: true });
  await writeFile(join(guestMemoryDir(config), 'vm00000000000000aa'), 'memory without a place');
  await slots.releaseOthers(new Set([known.record.slot]));
  expect(await readdir(vmSlotsDir(config))).toEqual([known.record.slot]);
  expect(await readdir(guestMemoryDir(config))).toEqual([known.record.slot]);
  expect(unknown.record.slot).not.toBe(known.record.slot);
});
