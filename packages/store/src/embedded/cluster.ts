import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chown, mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import type { Binaries } from './binaries.js';
import { exists, type Identity } from './database-user.js';

/** The role everything connects as. */
export const DATABASE_ROLE = 'dormouse';

const BUILDING_PREFIX = 'cluster.new-';
const INITDB_TIMEOUT_MS = 120_000;

/** A data directory of PostgreSQL and the password of its role. */
export interface Cluster {
  readonly dir: string;
  readonly password: string;
}

/**
 * Opens the cluster in `<dir>/cluster`, making it first when it is missing. It is built under another name and
 * renamed when complete, and its password lies inside, so there is never half a cluster nor one without password.
 */
export async function openCluster(dir: string, binaries: Binaries, identity: Identity): Promise<Cluster> {
  const clusterDir = join(dir, 'cluster');
  await removeUnfinished(dir);
  if (!(await exists(clusterDir))) await build(dir, clusterDir, binaries, identity);
  const password = (await readFile(passwordFile(clusterDir), 'utf8')).trim();
  return { dir: clusterDir, password };
}

function passwordFile(clusterDir: string): string {
  return join(clusterDir, 'dormouse-password');
}

async function removeUnfinished(dir: string): Promise<void> {
  for (const name of await readdir(dir)) {
    if (name.startsWith(BUILDING_PREFIX)) await rm(join(dir, name), { recursive: true, force: true });
  }
}

async function build(dir: string, clusterDir: string, binaries: Binaries, identity: Identity): Promise<void> {
  const building = join(dir, `${BUILDING_PREFIX}${randomBytes(4).toString('hex')}`);
  const password = randomBytes(24).toString('hex');
  const handedOver = `${building}.password`;
  try {
    await mkdir(building, { mode: 0o700 });
    await writeFile(handedOver, `${password}\n`, { mode: 0o600, flush: true });
    if (identity.uid !== undefined && identity.gid !== undefined) {
      await chown(building, identity.uid, identity.gid);
      await chown(handedOver, identity.uid, identity.gid);
    }
    await initdb(building, handedOver, binaries, identity);
    await rename(handedOver, passwordFile(building));
    await syncDirectory(building);
    await rename(building, clusterDir);
    await syncDirectory(dir);
  } catch (error) {
    await rm(building, { recursive: true, force: true });
    await rm(handedOver, { force: true });
    throw error;
  }
}

async function initdb(
  building: string,
  password: string,
  binaries: Binaries,
  identity: Identity,
): Promise<void> {
  const child = spawn(
    binaries.initdb,
    [
      `--pgdata=${building}`,
      `--username=${DATABASE_ROLE}`,
      `--pwfile=${password}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      // The server's own collation: the same order whatever locales the machine has.
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--locale=C',
      '--set=dynamic_shared_memory_type=mmap',
    ],
    {
      ...identity,
      cwd: '/',
      env: { PATH: process.env.PATH, LC_ALL: 'C' },
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: INITDB_TIMEOUT_MS,
    },
  );
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-2000);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) {
    const last = complaint.trim().split('\n').at(-1) ?? '';
    throw new DormouseError('setup_failed', `initdb failed: ${last === '' ? `exit code ${code}` : last}`);
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
