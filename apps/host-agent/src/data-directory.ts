import { chmod, mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DormouseError } from '@dormouse/errors';

const MODE = 0o711;
const OTHERS_MAY_PASS = 0o001;

/**
 * Makes the data directory and sees to it that VM processes, which run as users of their own, can pass through to
 * their files. What must be kept from them has modes of its own.
 *
 * @throws DormouseError `not_permitted` when a directory above it lets nobody through
 */
export async function prepareDataDirectory(dataDir: string): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: MODE });
  await chmod(dataDir, MODE);
  for (let dir = dirname(dataDir); dir !== dirname(dir); dir = dirname(dir)) {
    const { mode } = await stat(dir);
    if ((mode & OTHERS_MAY_PASS) !== 0) continue;
    throw new DormouseError(
      'not_permitted',
      `VM processes cannot reach ${dataDir}: ${dir} lets only its owner through`,
      {
        suggestion: `Choose another --data directory, or run \`chmod o+x ${dir}\`.`,
      },
    );
  }
}
