import { randomUUID } from 'node:crypto';
import { open, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Makes a directory's entries durable. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Makes a file's content durable. */
export async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * Gives a finished file or directory its final name: content synced by the caller, then rename, then the parent
 * directory synced. Readers see it whole or not at all.
 */
export async function commitByRename(temporary: string, final: string): Promise<void> {
  await rename(temporary, final);
  await syncDirectory(dirname(final));
}

/** Replaces a small file atomically and durably. Of several at once, one wins whole. */
export async function replaceFile(path: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    await writeFile(temporary, content, { mode, flush: true });
    await commitByRename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
