import { accessSync, constants, statfsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import { runtimePackages, type ToolPackage } from '../checkout.js';

/** Guest memory is a file there; below this not even one small sandbox fits. */
export const MIN_SHM_BYTES: number = 512 * 1024 * 1024;

/** Longest path of a Unix socket: sockaddr_un has 108 bytes, the last one is NUL (unix(7)). */
const MAX_SOCKET_PATH_BYTES = 107;

/** The longest path below the data directory that is a socket. */
const LONGEST_SOCKET: string = join('sandboxes', `sb${'x'.repeat(20)}`, 'guest.sock');

/** Where guest memory lives. DORMOUSE_SHM_DIR points elsewhere, for machines with a larger tmpfs and for tests. */
export function shmDirectory(): string {
  return process.env.DORMOUSE_SHM_DIR ?? '/dev/shm';
}

/** @throws DormouseError `not_permitted` */
export function checkRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new DormouseError('not_permitted', 'running sandboxes on this machine needs root', {
    suggestion: 'Run the same command as root.',
  });
}

/** @throws DormouseError `invalid_request` when Unix sockets below the directory would have names too long */
export function checkDataPath(dataDirectory: string): void {
  const longest = Buffer.byteLength(join(dataDirectory, LONGEST_SOCKET));
  if (longest <= MAX_SOCKET_PATH_BYTES) return;
  const excess = longest - MAX_SOCKET_PATH_BYTES;
  const most = Buffer.byteLength(dataDirectory) - excess;
  throw new DormouseError('invalid_request', `the path of the data directory is ${excess} bytes too long`, {
    suggestion: `Unix sockets live below it: choose one of at most ${most} bytes with --data.`,
  });
}

/** @throws DormouseError `no_space` */
export function checkSharedMemory(directory: string): void {
  let free: number;
  try {
    const { bavail, bsize } = statfsSync(directory);
    free = bavail * bsize;
  } catch (cause) {
    throw new DormouseError('no_space', `${directory} cannot be used (${systemErrorCode(cause) ?? cause})`, {
      cause,
      suggestion: 'Guest memory lives there: mount a tmpfs on it.',
    });
  }
  if (free >= MIN_SHM_BYTES) return;
  const [have, need] = [free, MIN_SHM_BYTES].map((bytes) => Math.floor(bytes / 1024 ** 2));
  throw new DormouseError(
    'no_space',
    `${directory} has ${have} MiB free, guest memory needs ${need} MiB or more`,
    {
      suggestion: `Run: mount -o remount,size=75% ${directory} (in a container, give it more with --shm-size).`,
    },
  );
}

/** @throws DormouseError `missing_tool` */
export function checkTools(): void {
  const missing = missingTools(runtimePackages());
  if (missing.length === 0) return;
  const tools = missing.map(({ tool }) => tool).join(', ');
  throw new DormouseError('missing_tool', `missing on this machine: ${tools}`, {
    suggestion: `Run as root: apt-get install ${missing.map(({ name }) => name).join(' ')}`,
  });
}

/** The packages whose tool is not on PATH. */
export function missingTools(packages: readonly ToolPackage[]): readonly ToolPackage[] {
  return packages.filter(({ tool }) => findTool(tool) === undefined);
}

/** Where a tool is on PATH. */
export function findTool(tool: string): string | undefined {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .map((directory) => join(directory, tool))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
