import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as wait } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import pg from 'pg';
import type { Binaries } from './binaries.js';
import { type Cluster, DATABASE_ROLE } from './cluster.js';
import type { Identity } from './database-user.js';

const DATABASE_NAME = 'dormouse';

/** Only names the socket; nothing listens on a network. */
const PORT = 5432;

/** The name PostgreSQL gives its socket. */
export const SOCKET_NAME: string = `.s.PGSQL.${PORT}`;

/** Longest start: after a crash the server first replays its log. */
const START_TIMEOUT_MS = 180_000;
const PROBE_INTERVAL_MS = 40;

/** How long each kind of shutdown may take before the next, ruder one. */
const SHUTDOWN = [
  { signal: 'SIGINT', patienceMs: 30_000 },
  { signal: 'SIGQUIT', patienceMs: 5_000 },
  { signal: 'SIGKILL', patienceMs: 5_000 },
] as const;

/** What a server is started from. */
export interface ServerParts {
  readonly binaries: Binaries;
  readonly identity: Identity;
  readonly cluster: Cluster;
  readonly socketDir: string;
  readonly onLog: ((text: string) => void) | undefined;
}

/** A server that accepts connections. */
export interface RunningServer {
  readonly databaseUrl: string;
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

/** Starts PostgreSQL on a cluster and waits until it takes queries. */
export async function startServer(parts: ServerParts): Promise<RunningServer> {
  const { cluster, socketDir } = parts;
  const child = launch(parts);
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const complaint = lastLines(child, parts.onLog);
  const stop = () => shutDown(child, ended);
  try {
    await accepting(cluster, socketDir, child, complaint);
  } catch (error) {
    await stop();
    throw error;
  }
  const password = encodeURIComponent(cluster.password);
  const host = encodeURIComponent(socketDir);
  return {
    databaseUrl: `postgresql://${DATABASE_ROLE}:${password}@/${DATABASE_NAME}?host=${host}&port=${PORT}`,
    ended,
    stop,
  };
}

function launch({ binaries, identity, cluster, socketDir }: ServerParts): ChildProcess {
  const settings = {
    listen_addresses: '',
    port: String(PORT),
    unix_socket_directories: `"${socketDir.replaceAll('"', '""')}"`,
    unix_socket_permissions: '0700',
    fsync: 'on',
    max_connections: '60',
    // /dev/shm holds the guests' memory and may be full.
    dynamic_shared_memory_type: 'mmap',
    log_min_messages: 'warning',
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  return spawn(binaries.postgres, ['-D', cluster.dir, ...flags], {
    ...identity,
    cwd: '/',
    env: { PATH: process.env.PATH, LC_ALL: 'C' },
    stdio: ['ignore', 'ignore', 'pipe'],
    // A Ctrl-C for the terminal's whole group must not end the database before its users.
    detached: true,
  });
}

/** Forwards the log and keeps its end for an error message. */
function lastLines(child: ChildProcess, onLog: ((text: string) => void) | undefined): () => string {
  let tail = '';
  child.once('error', (error) => {
    tail += error.message;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    tail = (tail + text).slice(-4000);
    onLog?.(text);
  });
  return () =>
    tail
      .trim()
      .split('\n')
      .filter((line) => line.includes('FATAL') || line.includes('PANIC') || !line.includes(' LOG: '))
      .slice(-2)
      .join('; ');
}

/** Waits for the first successful connection and makes the database when it is missing. */
async function accepting(
  cluster: Cluster,
  socketDir: string,
  child: ChildProcess,
  complaint: () => string,
): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  let last: unknown;
  while (performance.now() < deadline) {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) {
      throw new DormouseError('setup_failed', `PostgreSQL ended while starting: ${complaint()}`);
    }
    try {
      await ensureDatabase(cluster, socketDir);
      return;
    } catch (error) {
      last = error;
      await wait(PROBE_INTERVAL_MS);
    }
  }
  throw new DormouseError('setup_failed', `PostgreSQL takes no queries after ${START_TIMEOUT_MS / 1000} s`, {
    cause: last,
  });
}

async function ensureDatabase(cluster: Cluster, socketDir: string): Promise<void> {
  const client = new pg.Client({
    host: socketDir,
    port: PORT,
    user: DATABASE_ROLE,
    password: cluster.password,
    database: 'postgres',
    connectionTimeoutMillis: 5_000,
  });
  // An ending server breaks the connection; the query that was under way reports it.
  client.on('error', () => undefined);
  try {
    await client.connect();
    const found = await client.query('select 1 from pg_database where datname = $1', [DATABASE_NAME]);
    if (found.rowCount === 0) await client.query(`create database ${DATABASE_NAME}`);
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function shutDown(child: ChildProcess, ended: Promise<void>): Promise<void> {
  for (const { signal, patienceMs } of SHUTDOWN) {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) break;
    child.kill(signal);
    const patience = new AbortController();
    await Promise.race([
      ended,
      wait(patienceMs, undefined, { signal: patience.signal }).catch(() => undefined),
    ]);
    patience.abort();
  }
}
