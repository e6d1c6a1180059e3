import { open, rename, writeFile } from 'node:fs/promises';

/** The calls that decide what survives a power cut, in one place so that tests can watch their order. */
export interface DurableFs {
  writeFile(path: string, content: string | Uint8Array, mode: number): Promise<void>;
  /** Makes a file's content durable. */
  syncFile(path: string): Promise<void>;
  /** Makes a directory's entries durable. */
  syncDirectory(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The real file system. */
export const REAL_FS: DurableFs = {
  writeFile: (path, content, mode) => writeFile(path, content, { mode, flag: 'wx' }),
  syncFile: sync,
  syncDirectory: sync,
  rename,
};
