import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { generateApiKey, parseApiKey } from '@dormouse/auth';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import type { Store } from '@dormouse/store';
import { z } from 'zod';

const credentialsFile = z.object({ apiKey: z.string(), teamId: z.string().optional() });

/** The local admin's key, as credentials.json holds it. */
export interface Credentials {
  readonly apiKey: string;
  readonly teamId?: string | undefined;
}

/**
 * Makes sure that credentials.json holds a key that works: makes both at the first start, and registers the
 * file's key again when the database does not know it.
 *
 * @throws DormouseError `setup_failed` for a file that is damaged; it is never overwritten
 */
export async function ensureCredentials(path: string, store: Store): Promise<Credentials> {
  const present = await readCredentials(path);
  const apiKey = present?.apiKey ?? generateApiKey().key;
  const digest = parseApiKey(apiKey);
  if (digest === undefined) throw damaged(path);
  const teamId = await store.system.ensureLocalAccess({
    email: 'admin@localhost',
    teamName: 'default',
    keyName: 'credentials.json',
    lookup: digest.lookup,
    hash: digest.hash,
  });
  const credentials = { apiKey, teamId };
  if (present?.teamId !== teamId) await writeCredentials(path, credentials);
  return credentials;
}

async function readCredentials(path: string): Promise<Credentials | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw new DormouseError('setup_failed', `${path} cannot be read`, { cause: error });
  }
  try {
    return credentialsFile.parse(JSON.parse(text));
  } catch (error) {
    throw damaged(path, error);
  }
}

function damaged(path: string, cause?: unknown): DormouseError {
  return new DormouseError('setup_failed', `${path} does not hold an API key`, {
    cause,
    suggestion: 'Restore it, or remove it to get a new key.',
  });
}

/** Readers see the old file or the whole new one, and nobody else ever sees either. */
async function writeCredentials(path: string, credentials: Credentials): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(`${JSON.stringify(credentials, null, 2)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
