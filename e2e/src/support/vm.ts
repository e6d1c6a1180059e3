import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The VM process of a sandbox, as its host has written it down. */
export interface SandboxVm {
  readonly pid: number;
  /** Name of its place: directory of its sockets, file of its memory. */
  readonly slot: string;
}

/** What these tests need of what a host has written down about a sandbox. */
interface Journal {
  readonly state: string;
  readonly vm?: SandboxVm;
  /** Some of its memory is still to come. */
  readonly loading?: true;
  readonly disk?: { readonly layers: readonly string[] };
}

/** What the host has written down about a sandbox; undefined when it has none. */
export async function journalOf(dataDir: string, sandboxId: string): Promise<Journal | undefined> {
  try {
    const text = await readFile(join(dataDir, 'sandboxes', sandboxId, 'journal.json'), 'utf8');
    return JSON.parse(text) as Journal;
  } catch {
    return undefined;
  }
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
