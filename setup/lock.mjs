import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { SetupError } from './setup-error.mjs';

/** Exit code by which flock(1) tells "somebody else holds it" from any other failure. */
const TAKEN = 75;

/**
 * Takes the lock at `path` and keeps it until the returned function is called or this process is gone.
 *
 * A child `flock` holds it through an open file description that nobody else inherits, and ends when its stdin
 * closes: the kernel gives the lock back whatever happens to us, so there is no such thing as a stale lock.
 *
 * @param {string} path
 * @param {() => void} onWait called once when somebody else holds the lock and we begin to wait
 * @returns {Promise<() => Promise<void>>} gives the lock back
 */
export async function takeLock(path, onWait) {
  mkdirSync(dirname(path), { recursive: true });
  const first = await tryLock(path, ['--nonblock']);
  if (first) return first;
  onWait();
  const second = await tryLock(path, []);
  if (second) return second;
  throw new SetupError(`cannot lock ${path}`);
}

/**
 * @param {string} path
 * @param {readonly string[]} options
 * @returns {Promise<(() => Promise<void>) | undefined>}
 */
function tryLock(path, options) {
  const holder = spawn(
    'flock',
    [...options, '--conflict-exit-code', String(TAKEN), path, 'sh', '-c', 'echo held; exec cat >/dev/null'],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  return new Promise((resolve, reject) => {
    const closed = new Promise((done) => holder.once('close', done));
    holder.once('error', (cause) => {
      const message = 'the flock command (Debian package util-linux) is missing';
      reject(new SetupError(message, { code: 'missing_tool', exitCode: 4, cause }));
    });
    holder.once('close', (code) => {
      if (code === TAKEN) resolve(undefined);
      else reject(new SetupError(`cannot lock ${path}: flock ended with ${code}`));
    });
    holder.stdout.once('data', () => {
      holder.unref();
      resolve(async () => {
        holder.ref();
        holder.stdin.end();
        await closed;
      });
    });
  });
}
