import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryDirectory } from '../testing/temporary-directory.js';
import { checkRoom, type HostRoom, measureRoom, memoryLeft } from './capacity.js';

const MIB = 1024 * 1024;
const ROOM: HostRoom = {
  memoryTotalBytes: 1_024 * MIB,
  memoryFreeBytes: 1_000 * MIB,
  diskFreeBytes: 10_000 * MIB,
};

/** Code and message of the refusal, or undefined when there is room. */
function refusal(
  room: HostRoom,
  promisedMib: number,
  memoryMib: number,
): readonly [string, string] | undefined {
  try {
    checkRoom(room, promisedMib * MIB, memoryMib * MIB);
    return undefined;
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return [code, message];
  }
}

describe('hazard 18: room for a sandbox', () => {
  test('is there up to four times the memory', () => {
    expect(refusal(ROOM, 0, 1_024)).toBeUndefined();
    expect(refusal(ROOM, 3_072, 1_024)).toBeUndefined();
    expect(refusal(ROOM, 3_073, 1_024)).toEqual([
      'no_capacity',
      'there is no memory for another guest of 1024 MiB',
    ]);
  });

  test('is not there for a guest larger than all memory', () => {
    expect(refusal(ROOM, 0, 1_025)).toEqual([
      'no_capacity',
      'a guest of 1025 MiB does not fit: guest memory on this host is 1024 MiB in all',
    ]);
  });

  test('is not there when the tmpfs is too full for a guest to come up', () => {
    expect(refusal({ ...ROOM, memoryFreeBytes: 160 * MIB }, 0, 512)).toBeUndefined();
    expect(refusal({ ...ROOM, memoryFreeBytes: 160 * MIB - 1 }, 0, 512)).toEqual([
      'no_capacity',
      'there is no memory for another guest of 512 MiB',
    ]);
    expect(refusal({ ...ROOM, memoryFreeBytes: 128 * MIB }, 0, 128)).toBeUndefined();
  });

  test('is not there when the disk is nearly full', () => {
    expect(refusal({ ...ROOM, diskFreeBytes: 256 * MIB }, 0, 512)).toBeUndefined();
    expect(refusal({ ...ROOM, diskFreeBytes: 256 * MIB - 1 }, 0, 512)).toEqual([
      'no_space',
      "the host's disk has only 255 MiB left",
    ]);
  });

  test('left for promises is never negative', () => {
    expect(memoryLeft(ROOM, 96 * MIB)).toBe(4_000 * MIB);
    expect(memoryLeft(ROOM, 5_000 * MIB)).toBe(0);
  });
});

test('measuring makes the directory for guest memory, which others may only pass through', async () => {
  await using directory = await temporaryDirectory();
  const memoryDir = join(directory.path, 'shm', 'dormouse');
  const room = await measureRoom(memoryDir, directory.path);
  expect((await stat(memoryDir)).mode & 0o777).toBe(0o711);
  expect(room.memoryTotalBytes).toBeGreaterThanOrEqual(room.memoryFreeBytes);
  // Both are on one disk, which other processes write to between the two measurements.
  expect(Math.abs(room.diskFreeBytes - room.memoryFreeBytes)).toBeLessThan(room.memoryTotalBytes / 100);
});
