import { chmod, chown, mkdir, readdir, realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import { prepareBinaries } from './binaries.js';
import { openCluster } from './cluster.js';
import { blockedAt, DATABASE_USER, databaseIdentity, type Identity } from './database-user.js';
import { claim } from './ownership.js';
import { type RunningServer, SOCKET_NAME, startServer } from './server.js';
import { stopStaleServer } from './stale-server.js';

/** `sun_path` of Linux less its terminating NUL. */
const MAX_SOCKET_PATH_BYTES = 107;

/** A PostgreSQL server of ours. */
export interface EmbeddedPostgres {
  /** How to connect; holds the password. */
  readonly databaseUrl: string;
  /** Resolves when the server has ended, asked or not. */
  readonly ended: Promise<void>;
  /** Ends connections, writes a checkpoint, leaves. */
  stop(): Promise<void>;
}

/** What starting may be told. */
export interface EmbeddedPostgresOptions {
  /** Directory for everything of the database; made when missing. */
  readonly dir: string;
  /** Called with each chunk of the server's log. */
  readonly onLog?: (text: string) => void;
}

/**
 * Starts the PostgreSQL that comes with Dormouse, making its cluster at the first start. It listens on a Unix
 * socket only, asks for a generated password, and syncs what it commits. As root it runs as a system user of
 * its own.
 *
 * @throws DormouseError `invalid_request` (path too long), `not_permitted`, `already_running`, `setup_failed`
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  await mkdir(options.dir, { recursive: true, mode: 0o700 });
  const dir = await realpath(options.dir);
  const socketDir = join(dir, 'run');
  await checkOurs(dir);
  checkSocketPath(join(socketDir, SOCKET_NAME));

  const ownership = await claim(dir);
  try {
    const identity = await databaseIdentity();
    await mkdir(socketDir, { recursive: true, mode: 0o700 });
    await handOver([dir, socketDir], identity);
    await checkReachable(dir, identity);
    const binaries = await prepareBinaries(identity, join(dir, 'postgresql'));
    const cluster = await openCluster(dir, binaries, identity);
    await stopStaleServer(cluster.dir, join(socketDir, SOCKET_NAME));
    const server = await startServer({ binaries, identity, cluster, socketDir, onLog: options.onLog });
    return owned(server, () => ownership.release());
  } catch (error) {
    await ownership.release();
    throw error;
  }
}

function owned(server: RunningServer, release: () => Promise<void>): EmbeddedPostgres {
  return {
    databaseUrl: server.databaseUrl,
    ended: server.ended,
    stop: async () => {
      await server.stop();
      await release();
    },
  };
}

/** The directory changes hands, so it must hold nothing but a database of ours. */
async function checkOurs(dir: string): Promise<void> {
  const foreign = (await readdir(dir)).find((name) => !/^(?:cluster|run|postgresql)(?:\.new|$)/.test(name));
  if (foreign === undefined) return;
  throw new DormouseError('invalid_request', `${dir} holds ${foreign}, which is no part of a database`, {
    suggestion: 'Choose a directory for the database alone.',
  });
}

function checkSocketPath(path: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes <= MAX_SOCKET_PATH_BYTES) return;
  throw new DormouseError(
    'invalid_request',
    `the database's socket ${path} is ${bytes} bytes long, and Linux allows ${MAX_SOCKET_PATH_BYTES}`,
    { suggestion: 'Choose a data directory with a shorter path.' },
  );
}

async function handOver(dirs: readonly string[], identity: Identity): Promise<void> {
  for (const dir of dirs) {
    try {
      await chmod(dir, 0o700);
      if (identity.uid !== undefined && identity.gid !== undefined)
        await chown(dir, identity.uid, identity.gid);
    } catch (error) {
      const code = systemErrorCode(error);
      if (code !== 'EPERM' && code !== 'EROFS') throw error;
      throw new DormouseError('not_permitted', `${dir} belongs to somebody else`, {
        cause: error,
        suggestion: 'Run as its owner, or choose another data directory.',
      });
    }
  }
}

async function checkReachable(dir: string, identity: Identity): Promise<void> {
  const blocking = await blockedAt(dir, identity);
  if (blocking === undefined) return;
  throw new DormouseError(
    'not_permitted',
    `the database runs as the user ${DATABASE_USER}, who may not pass ${blocking} on the way to ${dir}`,
    {
      suggestion:
        blocking === dirname(dir)
          ? `Run \`chmod o+x ${blocking}\`, or choose a data directory such as /var/lib/dormouse.`
          : 'Choose a data directory such as /var/lib/dormouse.',
    },
  );
}
