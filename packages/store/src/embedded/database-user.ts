import { execFile, spawnSync } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { DormouseError, systemErrorCode } from '@dormouse/errors';

const run = promisify(execFile);

/** PostgreSQL refuses to run as root; this is who it runs as then. */
export const DATABASE_USER = 'dormouse-db';

/** Whom to run PostgreSQL as. Empty: as ourselves. */
export interface Identity {
  readonly uid?: number;
  readonly gid?: number;
}

/**
 * Whom PostgreSQL runs as on this machine; as root, makes the system user when it is missing.
 *
 * @throws DormouseError `missing_tool` or `setup_failed`
 */
export async function databaseIdentity(): Promise<Identity> {
  if (process.getuid?.() !== 0) return {};
  const present = await lookUp();
  if (present !== undefined) return present;
  try {
    await run('useradd', ['--system', '--no-create-home', '--shell', '/usr/sbin/nologin', DATABASE_USER]);
  } catch (error) {
    // Somebody else may have made it in the meantime.
    const made = await lookUp();
    if (made !== undefined) return made;
    if (systemErrorCode(error) === 'ENOENT') {
      throw new DormouseError('missing_tool', 'useradd is missing, so the database has no user to run as', {
        cause: error,
        suggestion: 'Install the Debian package passwd, or run as another user than root.',
      });
    }
    throw new DormouseError('setup_failed', `the system user ${DATABASE_USER} cannot be made`, {
      cause: error,
    });
  }
  const made = await lookUp();
  if (made === undefined)
    throw new DormouseError('setup_failed', `the system user ${DATABASE_USER} cannot be found`);
  return made;
}

async function lookUp(): Promise<Identity | undefined> {
  try {
    const [uid, gid] = await Promise.all([
      run('id', ['-u', DATABASE_USER]),
      run('id', ['-g', DATABASE_USER]),
    ]);
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  } catch {
    return undefined;
  }
}

/**
 * The directory on the way to `path` that the identity may not pass, or undefined when it can enter `path`.
 */
export async function blockedAt(path: string, identity: Identity): Promise<string | undefined> {
  if (identity.uid === undefined || canEnter(path, identity)) return undefined;
  const ancestors: string[] = [];
  for (let at = path; ; at = dirname(at)) {
    ancestors.unshift(at);
    if (at === dirname(at)) break;
  }
  for (const ancestor of ancestors) {
    if (!canEnter(ancestor, identity)) return ancestor;
  }
  return path;
}

/** Asks the kernel as that user, so access control lists count as well. */
function canEnter(path: string, identity: Identity): boolean {
  return spawnSync('test', ['-x', path], { ...identity, cwd: '/', stdio: 'ignore' }).status === 0;
}

/** Whether a path exists. */
export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
}
