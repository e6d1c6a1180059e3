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
  try {
    const text = await readFile(join(dataDir, 'sandboxes', sandboxId, 'journal.json'), 'utf8');
    return (JSON.parse(text) as { readonly vm?: SandboxVm }).vm;
  } catch {
    return undefined;
  }
}
