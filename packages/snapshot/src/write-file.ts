import { closeSync, openSync, writeSync } from 'node:fs';

/** Writes a file that must not exist yet, for its owner alone. Not durable until somebody syncs it. */
export function writeNewFile(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, 'wx', 0o600);
  try {
    let offset = 0;
    while (offset < bytes.length) offset += writeSync(fd, bytes, offset, bytes.length - offset);
  } finally {
    closeSync(fd);
  }
}
