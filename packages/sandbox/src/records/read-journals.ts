import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fromUnknown } from '@dormouse/errors';
import { DELETING_PREFIX, type HostConfig, sandboxesDir, sandboxPaths } from '../config/host-config.js';
import type { SandboxLog } from '../config/sandbox-log.js';
import { SANDBOX_ID } from '../config/sandbox-spec.js';
import { type Journal, readJournal } from './journal.js';

/** Directories with this prefix hold a journal that could not be understood; an operator decides about them. */
const BROKEN_PREFIX = '.broken-';

/**
 * The journals of a host. Directories on their way out, and those that never got a journal, are removed; one whose
 * journal cannot be understood is set aside.
 */
export async function readJournals(config: HostConfig, log: SandboxLog): Promise<readonly Journal[]> {
  const journals: Journal[] = [];
  for (const name of await readdir(sandboxesDir(config))) {
    const dir = join(sandboxesDir(config), name);
    if (name.startsWith(DELETING_PREFIX)) await rm(dir, { recursive: true, force: true });
    if (!SANDBOX_ID.test(name)) continue;
    try {
      const journal = await readJournal(sandboxPaths(config, name).journal);
      if (journal === undefined) await rm(dir, { recursive: true, force: true });
      else journals.push(journal);
    } catch (error) {
      await rename(dir, join(sandboxesDir(config), `${BROKEN_PREFIX}${name}-${Date.now()}`));
      const fields = { sandboxId: name, err: fromUnknown(error) };
      log.warn(fields, 'the journal cannot be understood; sandbox set aside');
    }
  }
  return journals;
}
