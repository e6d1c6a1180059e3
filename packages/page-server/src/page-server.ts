import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import type { Captured, CaptureJob, Job, Message, ServeJob } from './jobs.js';
import type { MemoryServer, Serving } from './memory-servers.js';

/** Built, whoever imports this: a process of its own runs no TypeScript. */
const ENTRY = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const START_TIMEOUT_MS = 30_000;
const EXIT_TIMEOUT_MS = 10_000;
/** A page server that serves answers at once; the bound is for a host that swaps. */
const PING_INTERVAL_MS = 5_000;
const SILENCE_LIMIT_MS = 60_000;
/** A capture is one synchronous pass over the guest's memory and answers nothing meanwhile. */
const CAPTURE_BASE_MS = 60_000;
/** A disk that is slower than 4 MiB a second is not taken for a page server that hangs. */
const CAPTURE_MS_PER_PAGE = 1;

/** How long a page server may be silent before it is ended. For tests. */
export interface Patience {
  readonly pingIntervalMs: number;
  readonly silenceLimitMs: number;
}

/**
 * A process that moves the memory of guests: to disk, and back. It does one job at a time, and finishes the one it has
 * when whoever started it dies.
 */
export class PageServer implements MemoryServer {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #patience: Patience;
  readonly #exited: Promise<void>;
  #onMessage: ((message: Message) => void) | undefined;
  #onExit: (() => void) | undefined;
  #alive = true;

  private constructor(child: ChildProcess, patience: Patience) {
    this.#child = child;
    this.#patience = patience;
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
   * @param patience default: asked every 5 s, ended after 60 s of silence
   * @throws DormouseError `internal` when it does not come up
   */
  static async start(
    patience: Patience = { pingIntervalMs: PING_INTERVAL_MS, silenceLimitMs: SILENCE_LIMIT_MS },
  ): Promise<PageServer> {
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
    return new PageServer(child, patience);
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
    this.#watch(loaded);
    return { running, loaded };
  }

  /**
   * Captures the memory of a VM that stands still. A capture that takes longer than any disk needs is ended.
   *
   * @param signal ends the process, and with it the capture
   * @throws DormouseError `pause_failed` when the process ends or hangs; what the capture throws
   */
  async capture(job: Omit<CaptureJob, 'kind'>, signal?: AbortSignal): Promise<Captured> {
    const end = (): void => void this.kill();
    const limitMs = CAPTURE_BASE_MS + job.pageCount * CAPTURE_MS_PER_PAGE;
    const timer = setTimeout(end, limitMs).unref();
    signal?.addEventListener('abort', end, { once: true });
    if (signal?.aborted === true) end();
    try {
      return await this.#do({ kind: 'capture', ...job }, (message) =>
        message.kind === 'captured' ? message.captured : undefined,
      );
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
    }
  }

  /** Ends the process at once and waits until it is gone; one that the kernel holds is given up after 10 s. */
  async kill(): Promise<void> {
    if (!this.#alive) return;
    this.#child.kill('SIGKILL');
    let late: NodeJS.Timeout | undefined;
    const tooLate = new Promise<void>((resolve) => {
      late = setTimeout(resolve, EXIT_TIMEOUT_MS);
    });
    await Promise.race([this.#exited, tooLate]);
    clearTimeout(late);
    this.#alive = false;
    this.#onExit?.();
  }

  /** Lets go of the process: it finishes what it does, and ends. */
  letGo(): void {
    if (this.#alive && this.#child.connected) this.#child.disconnect();
  }

  /** Asks a process that serves whether it still does, and ends it when it does not answer: a guest waits for it. */
  #watch(job: Promise<unknown>): void {
    const { pingIntervalMs, silenceLimitMs } = this.#patience;
    let heardAtMs = performance.now();
    const onMessage = (): void => {
      heardAtMs = performance.now();
    };
    this.#child.on('message', onMessage);
    const timer = setInterval(() => {
      if (performance.now() - heardAtMs > silenceLimitMs) void this.kill();
      else if (this.#child.connected) this.#child.send({ kind: 'ping' }, () => {});
    }, pingIntervalMs).unref();
    const over = (): void => {
      clearInterval(timer);
      this.#child.off('message', onMessage);
    };
    job.then(over, over);
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
