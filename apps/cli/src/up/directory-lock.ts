import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { DormouseError } from '@dormouse/errors';

/** Exit code by which flock(1) tells "somebody else holds it" from any other failure. */
const TAKEN = 75;

/**
 * An exclusive lock on a directory.
 *
 * A child `flock` holds it in a session of its own (Ctrl-C does not reach it) and ends when its stdin closes: the
 * kernel gives the lock back whatever happens to this process, so there are no stale locks and no lock file.
 */
export class DirectoryLock implements AsyncDisposable {
  readonly #release: () => Promise<void>;

  private constructor(release: () => Promise<void>) {
    this.#release = release;
  }

  /**
   * @returns undefined when somebody else holds the lock
   * @throws DormouseError `missing_tool` without flock, `setup_failed` when the directory cannot be locked
   */
  static take(directory: string): Promise<DirectoryLock | undefined> {
    const script = 'echo held; exec cat >/dev/null';
    const options = ['--nonblock', '--conflict-exit-code', String(TAKEN)];
    const holder = spawn('flock', [...options, directory, 'sh', '-c', script], {
      detached: true,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const ended = once(holder, 'close');
    ended.catch(() => {});
    return new Promise((resolve, reject) => {
      holder.once('error', (cause) => {
        const suggestion = 'Run as root: apt-get install util-linux';
        reject(new DormouseError('missing_tool', 'the command flock is missing', { cause, suggestion }));
      });
      holder.once('close', (code) => {
        if (code === TAKEN) resolve(undefined);
        else reject(new DormouseError('setup_failed', `cannot lock ${directory}: flock ended with ${code}`));
      });
      holder.stdout.once('data', () => {
        const release = async (): Promise<void> => {
          holder.ref();
          holder.stdin.end();
          await ended;
        };
        holder.unref();
        resolve(new DirectoryLock(release));
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#release();
  }
}
