import { mkdir, statfs } from 'node:fs/promises';
import { DormouseError } from '@dormouse/errors';

const MIB = 1024 * 1024;

/**
 * Guests touch a part of what they are promised, so more may be promised than there is: this many times the tmpfs.
 */
const MEMORY_OVERCOMMIT = 4;
/** What a guest needs to come up at all must be free at once. */
const BOOT_MEMORY_BYTES = 160 * MIB;
/** A new layer, the journal and the logs; a host that has less is about to fail everybody. */
const MIN_DISK_BYTES = 256 * MIB;

/** Room on a host, in bytes. */
export interface HostRoom {
  readonly memoryTotalBytes: number;
  readonly memoryFreeBytes: number;
  readonly diskFreeBytes: number;
}

/** Measures the tmpfs that holds guest RAM and the disk that holds layers. */
export async function measureRoom(memoryDir: string, dataDir: string): Promise<HostRoom> {
  await mkdir(memoryDir, { recursive: true, mode: 0o711 });
  const [memory, disk] = await Promise.all([statfs(memoryDir), statfs(dataDir)]);
  return {
    memoryTotalBytes: memory.blocks * memory.bsize,
    memoryFreeBytes: memory.bavail * memory.bsize,
    diskFreeBytes: disk.bavail * disk.bsize,
  };
}

/** What may still be promised to new guests. */
export function memoryLeft(room: HostRoom, promisedBytes: number): number {
  return Math.max(0, room.memoryTotalBytes * MEMORY_OVERCOMMIT - promisedBytes);
}

/**
 * Refuses a sandbox for which there is no room, before anything of it exists.
 *
 * @param promisedBytes memory of the sandboxes that run already
 * @throws DormouseError `no_capacity` for memory, `no_space` for disk
 */
export function checkRoom(room: HostRoom, promisedBytes: number, memoryBytes: number): void {
  const mib = (bytes: number): string => `${Math.floor(bytes / MIB)} MiB`;
  if (memoryBytes > room.memoryTotalBytes) {
    throw new DormouseError(
      'no_capacity',
      `a guest of ${mib(memoryBytes)} does not fit: guest memory on this host is ${mib(room.memoryTotalBytes)} in all`,
      { suggestion: 'Ask for less memory_mb, or give /dev/shm more room on the host.' },
    );
  }
  if (
    memoryBytes > memoryLeft(room, promisedBytes) ||
    room.memoryFreeBytes < Math.min(memoryBytes, BOOT_MEMORY_BYTES)
  ) {
    throw new DormouseError('no_capacity', `there is no memory for another guest of ${mib(memoryBytes)}`, {
      suggestion: 'Delete a sandbox that is no longer needed, or give /dev/shm more room on the host.',
    });
  }
  if (room.diskFreeBytes < MIN_DISK_BYTES) {
    throw new DormouseError('no_space', `the host's disk has only ${mib(room.diskFreeBytes)} left`, {
      suggestion: 'Free some disk space on the host.',
    });
  }
}
