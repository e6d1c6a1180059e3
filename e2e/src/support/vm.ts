import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The VM process of a sandbox, as its host has written it down. */
export interface SandboxVm {
  readonly pid: number;
  /** Name of its place: directory of its sockets, file of its memory. */
  readonly slot: string;
}

/** The VM that a sandbox has; undefined when it has none, or does not exist. */
export async function vmOf(dataDir: string, sandboxId: string): Promise<SandboxVm | undefined> {
  return (await journalOf(dataDir, sandboxId))?.vm;
}

/** The same once all of its memory is there; undefined before. */
export async function loadedVmOf(dataDir: string, sandboxId: string): Promise<SandboxVm | undefined> {
  const journal = await journalOf(dataDir, sandboxId);
  return journal?.loading === true ? undefined : journal?.vm;
}

async function journalOf(
  dataDir: string,
  sandboxId: string,
): Promise<{ readonly vm?: SandboxVm; readonly loading?: true } | undefined> {
  try {
    return JSON.parse(await readFile(join(dataDir, 'sandboxes', sandboxId, 'journal.json'), 'utf8'));
  } catch {
    return undefined;
  }
}
