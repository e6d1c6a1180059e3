import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import { DELETING_PREFIX, type HostConfig, sandboxesDir, sandboxPaths } from '../config/host-config.js';
import type { SandboxLog } from '../config/sandbox-log.js';
import { SANDBOX_ID } from '../config/sandbox-spec.js';
import type { Journal } from './journal.js';
import { readJournal } from './journal-file.js';

/** Directories with this prefix hold a journal that could not be understood; an operator decides about them. */
const BROKEN_PREFIX = '.broken-';

/** What the journals of a host say. */
export interface ReadJournals {
  readonly journals: readonly Journal[];
  /**
   * Directories of sandboxes whose journals cannot be understood. What they refer to is not known, so nothing may be
   * collected, swept or ended for want of a reference while there are any.
   */
  readonly broken: readonly string[];
}

/**
 * Reads the journals of a host. Directories on their way out, and those that never got a journal, are removed; one
 * whose journal cannot be understood is set aside.
 *
 * @throws DormouseError `setup_failed`: a newer agent has written a journal; the system error of a journal that cannot
 *   be read now, which may be sound. Nothing has been changed for its sake then
 */
export async function readJournals(config: HostConfig, log: SandboxLog): Promise<ReadJournals> {
  const journals: Journal[] = [];
  const broken: string[] = [];
  const unknown: string[] = [];
  const without: string[] = [];
  const names = await readdir(sandboxesDir(config));
  for (const name of names) {
    if (name.startsWith(BROKEN_PREFIX)) broken.push(name);
    if (!SANDBOX_ID.test(name)) continue;
    try {
      const journal = await readJournal(sandboxPaths(config, name).journal);
      if (journal === undefined) without.push(name);
      else journals.push(journal);
    } catch (error) {
      if (!(error instanceof DormouseError) || error.code !== 'internal') throw error;
      log.warn(
        { sandboxId: name, err: fromUnknown(error) },
        'the journal cannot be understood; sandbox set aside',
      );
      unknown.push(name);
    }
  }
  // Only now that every journal has been read is anything changed.
  for (const name of unknown) {
    const aside = `${BROKEN_PREFIX}${name}-${Date.now()}`;
    await rename(join(sandboxesDir(config), name), join(sandboxesDir(config), aside));
    broken.push(aside);
  }
  const leftovers = names.filter((name) => name.startsWith(DELETING_PREFIX));
  for (const name of [...leftovers, ...without]) {
    await rm(join(sandboxesDir(config), name), { recursive: true, force: true });
  }
  return { journals, broken };
}
