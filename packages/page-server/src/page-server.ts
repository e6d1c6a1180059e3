import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import type { Captured, CaptureJob, Job, Message, Served, ServeJob } from './jobs.js';

/** Built, whoever imports this: a process of its own runs no TypeScript. */
const ENTRY = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const START_TIMEOUT_MS = 30_000;
const EXIT_TIMEOUT_MS = 10_000;

/** A restore that has begun. */
export interface Serving {
  /** The guest runs. Rejects like `loaded`. */
  readonly running: Promise<void>;
  /** QEMU has all memory. Rejects when a page cannot be served: the guest must not be used then. */
  readonly loaded: Promise<Served>;
}

/**
 * A process that moves the memory of guests: to disk, and back. It does one job at a time, and finishes the one it has
 * when whoever started it dies.
 */
export class PageServer {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  #onMessage: ((message: Message) => void) | undefined;
  #onExit: (() => void) | undefined;
  #alive = true;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.pid = child.pid!;
    child.on('message', (message: Message) => this.#onMessage?.(message));
    this.#exited = new Promise((resolve) => {
      child.once('exit', () => {
        this.#alive = false;
        this.#onExit?.();
        resolve();
      });
    });
  }

  /**
   * Starts a process and waits until it can take a job.
   *
   * @throws DormouseError `internal` when it does not come up
   */
  static async start(): Promise<PageServer> {
    const child = fork(ENTRY, [], {
      detached: true,
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      execArgv: [],
      cwd: '/',
    });
    const failed = new Promise<never>((_, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`it ended with ${code}`)));
      setTimeout(() => reject(new Error('it did not come up')), START_TIMEOUT_MS).unref();
    });
    failed.catch(() => {});
    try {
      await Promise.race([new Promise((resolve) => child.once('message', resolve)), failed]);
    } catch (cause) {
      child.kill('SIGKILL');
      throw new DormouseError('internal', `the page server did not start: ${fromUnknown(cause).message}`, {
        cause,
      });
    }
    // Waiting for work is no reason for the one who started it to live on.
    child.unref();
    child.channel?.unref();
    return new PageServer(child);
  }

  /** Whether it can take a job. */
  get isIdle(): boolean {
    return this.#alive && this.#onMessage === undefined;
  }

  /** Restores a VM that listens. */
  serve(job: Omit<ServeJob, 'kind'>): Serving {
    let run: () => void = () => {};
    const started = new Promise<void>((resolve) => {
      run = resolve;
    });
    const loaded = this.#do({ kind: 'serve', ...job }, (message) => {
      if (message.kind === 'running') run();
      return message.kind === 'served' ? message.served : undefined;
    });
    const running = Promise.race([started, loaded.then(() => {})]);
    running.catch(() => {});
    loaded.catch(() => {});
    return { running, loaded };
  }

  /** Captures the memory of a VM that stands still. */
  capture(job: Omit<CaptureJob, 'kind'>): Promise<Captured> {
    return this.#do({ kind: 'capture', ...job }, (message) =>
      message.kind === 'captured' ? message.captured : undefined,
    );
  }

  /** Ends the process at once and waits until it is gone. */
  async kill(): Promise<void> {
    if (!this.#alive) return;
    this.#child.kill('SIGKILL');
    const late = setTimeout(() => {}, EXIT_TIMEOUT_MS);
    await this.#exited;
    clearTimeout(late);
  }

  /** Lets go of the process: it finishes what it does, and ends. */
  letGo(): void {
    if (this.#alive && this.#child.connected) this.#child.disconnect();
  }

  #do<T>(job: Job, take: (message: Message) => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      // What a job is part of has failed, whatever became of the process.
      const failed = (message: string, cause?: unknown): DormouseError =>
        new DormouseError(job.kind === 'capture' ? 'pause_failed' : 'restore_failed', message, { cause });
      if (!this.#alive) {
        reject(failed('the page server has ended'));
        return;
      }
      if (this.#onMessage !== undefined) {
        reject(new DormouseError('invalid_state', 'the page server has a job'));
        return;
      }
      const settle = (act: () => void): void => {
        this.#onMessage = undefined;
        this.#onExit = undefined;
        act();
      };
      this.#onMessage = (message) => {
        if (message.kind === 'failed') {
          const { code, message: text, suggestion } = message;
          const options = suggestion === undefined ? {} : { suggestion };
          settle(() => reject(new DormouseError(code, text, options)));
          return;
        }
        const result = take(message);
        if (result !== undefined) settle(() => resolve(result));
      };
      this.#onExit = () => settle(() => reject(failed('the page server ended in the middle of its work')));
      this.#child.send(job, (error) => {
        if (error) settle(() => reject(failed('the page server does not take its work', error)));
      });
    });
  }
}
