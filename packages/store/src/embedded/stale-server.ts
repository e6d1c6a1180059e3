import { readFile, readlink, realpath, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { DormouseError, systemErrorCode } from '@dormouse/errors';

/** PostgreSQL's meaning of signals: fast shutdown, then leave at once without a checkpoint. */
const ESCALATION = [
  { signal: 'SIGINT', patienceMs: 30_000 },
  { signal: 'SIGQUIT', patienceMs: 10_000 },
] as const;

/**
 * Stops the server that a killed Dormouse left running on this cluster, and removes its `postmaster.pid` and the lock
 * of its socket: after a reboot the process number in them may be anybody's, and PostgreSQL would refuse to start.
 * Call only while owning the directory.
 */
export async function stopStaleServer(clusterDir: string, socketPath: string): Promise<void> {
  await stopServer(clusterDir);
  // Source: PostgreSQL's CreateLockFile, which takes any living process for the owner of a socket.
  for (const path of [socketPath, `${socketPath}.lock`]) await rm(path, { force: true });
}

async function stopServer(clusterDir: string): Promise<void> {
  const pidFile = join(clusterDir, 'postmaster.pid');
  const pid = await recordedPid(pidFile);
  if (pid === undefined) return;
  if (!(await isServerOf(pid, clusterDir))) {
    await rm(pidFile, { force: true });
    return;
  }
  for (const { signal, patienceMs } of ESCALATION) {
    send(pid, signal);
    if (await gone(pid, clusterDir, patienceMs)) return;
  }
  throw new DormouseError('setup_failed', `the PostgreSQL left running as process ${pid} does not stop`);
}

async function recordedPid(pidFile: string): Promise<number | undefined> {
  try {
    const pid = Number.parseInt((await readFile(pidFile, 'utf8')).split('\n')[0] ?? '', 10);
    return pid > 0 ? pid : undefined;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** A running PostgreSQL has its cluster as working directory. */
async function isServerOf(pid: number, clusterDir: string): Promise<boolean> {
  try {
    const [program, cwd, cluster] = await Promise.all([
      readlink(`/proc/${pid}/exe`),
      readlink(`/proc/${pid}/cwd`),
      realpath(clusterDir),
    ]);
    return basename(program).startsWith('postgres') && cwd === cluster;
  } catch {
    return false;
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (systemErrorCode(error) !== 'ESRCH') throw error;
  }
}

async function gone(pid: number, clusterDir: string, patienceMs: number): Promise<boolean> {
  const deadline = performance.now() + patienceMs;
  while (performance.now() < deadline) {
    if (!(await isServerOf(pid, clusterDir))) return true;
    await wait(50);
  }
  return false;
}
