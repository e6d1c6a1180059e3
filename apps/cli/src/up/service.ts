import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fstatSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fromUnknown } from '@dormouse/errors';
import { restartDelayMs, STABLE_MS } from './back-off.js';
import { type ChildLine, errorOfLine, readChildLine } from './child-line.js';
import { failureOf } from './failure.js';
import { logPath, openLog } from './logs.js';

/** A program that `up` keeps running. */
export interface ServiceSpec {
  /** Also the name of its log: `host-agent`. */
  readonly name: string;
  /** Arguments for Node.js; asked for at each start. */
  readonly args: () => readonly string[];
  /** Added to the environment; asked for at each start, for it may name what another service said. */
  readonly env: () => Readonly<Record<string, string>>;
  /** Whether a line of its output says that it is ready. */
  readonly isReady: (line: ChildLine) => boolean;
  readonly readyTimeoutMs: number;
  /** How long it may take to end after SIGTERM. */
  readonly stopTimeoutMs: number;
}

/** What a service tells `up`. */
export interface ServiceEvents {
  /** Something people should know: it died, it starts again. */
  readonly onNote: (text: string) => void;
  /** It is ready, for the first time or again. */
  readonly onReady: (line: ChildLine) => void;
  /** Its process is another one, or none. */
  readonly onProcess: () => void;
}

/** How a process ended: `exit 1`, `SIGKILL`. */
type Ending = string;

/** One process and what can be waited for. */
interface Run {
  readonly child: ChildProcess;
  readonly ready: Promise<ChildLine>;
  readonly ended: Promise<Ending>;
}

/** After a hurried stop, the time until SIGKILL. */
const HURRIED_STOP_MS = 5_000;

/**
 * Keeps one program running: the first start must succeed, after that it is started again whenever it ends, with
 * growing pauses and a note each time, until it is stopped.
 *
 * The program runs in a session of its own, so Ctrl-C reaches only `up`, which ends its services in order. It
 * holds the reading end of a pipe as stdin: when `up` is killed, the pipe closes and it ends by itself.
 */
export class Service {
  readonly name: string;
  readonly #spec: ServiceSpec;
  readonly #logs: string;
  readonly #events: ServiceEvents;
  #run: Run | undefined;
  #stopping: Promise<void> | undefined;
  #deaths = 0;
  #restartTimer: NodeJS.Timeout | undefined;
  #hurry: (() => void) | undefined;

  /** @param logs directory of the logs */
  constructor(spec: ServiceSpec, logs: string, events: ServiceEvents) {
    this.name = spec.name;
    this.#spec = spec;
    this.#logs = logs;
    this.#events = events;
  }

  /** The pid of its process, while there is one. */
  get pid(): number | undefined {
    return this.#run?.child.pid;
  }

  /**
   * Starts it for the first time.
   *
   * @throws DormouseError what the program reported, or `setup_failed` with the end of its log
   */
  async start(signal: AbortSignal): Promise<ChildLine> {
    signal.throwIfAborted();
    const run = this.#spawn();
    const abort = (): void => {
      run.child.kill('SIGTERM');
    };
    signal.addEventListener('abort', abort, { once: true });
    try {
      const line = await run.ready;
      this.#watch(run);
      this.#events.onReady(line);
      return line;
    } catch (thrown) {
      run.child.kill('SIGKILL');
      await run.ended;
      this.#run = undefined;
      this.#events.onProcess();
      throw thrown;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /** Ends the process; the program is then started again as after any death, but at once. */
  restart(): void {
    this.#deaths = 0;
    this.#run?.child.kill('SIGTERM');
  }

  /** Ends it for good: SIGTERM, and SIGKILL when its time is up. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** While it is being stopped: waits only a little longer. */
  hurry(): void {
    this.#hurry?.();
  }

  async #stop(): Promise<void> {
    clearTimeout(this.#restartTimer);
    const run = this.#run;
    if (!run) return;
    const { child, ended } = run;
    let killer: NodeJS.Timeout | undefined;
    const killAfter = (delayMs: number): void => {
      clearTimeout(killer);
      killer = setTimeout(() => {
        this.#events.onNote(`${this.name} does not end and is killed`);
        child.kill('SIGKILL');
      }, delayMs);
    };
    killAfter(this.#spec.stopTimeoutMs);
    this.#hurry = () => killAfter(HURRIED_STOP_MS);
    child.kill('SIGTERM');
    await ended;
    clearTimeout(killer);
    this.#run = undefined;
    this.#events.onProcess();
  }

  /** Starts again whatever happens to a run that was ready. */
  #watch(run: Run): void {
    const begin = performance.now();
    void run.ended.then((ending) => {
      if (this.#stopping) return;
      if (performance.now() - begin >= STABLE_MS) this.#deaths = 0;
      this.#died(ending);
    });
  }

  #died(ending: Ending): void {
    this.#run = undefined;
    this.#events.onProcess();
    this.#deaths += 1;
    const delayMs = restartDelayMs(this.#deaths);
    const log = logPath(this.#logs, this.name);
    this.#events.onNote(
      `${this.name} ended (${ending}); starting it again in ${delayMs / 1000} s; its log: ${log}`,
    );
    this.#restartTimer = setTimeout(() => void this.#startAgain(), delayMs);
  }

  async #startAgain(): Promise<void> {
    let run: Run;
    try {
      run = this.#spawn();
    } catch (thrown) {
      this.#died(fromUnknown(thrown).message);
      return;
    }
    try {
      const line = await run.ready;
      if (this.#stopping) return;
      this.#events.onNote(`${this.name} is ready again`);
      this.#watch(run);
      this.#events.onReady(line);
    } catch (thrown) {
      run.child.kill('SIGKILL');
      await run.ended;
      if (!this.#stopping) this.#died(fromUnknown(thrown).message);
    }
  }

  #spawn(): Run {
    const log = openLog(this.#logs, this.name);
    const offset = fstatSync(log).size;
    const child = spawn(process.execPath, this.#spec.args(), {
      cwd: '/',
      detached: true,
      env: { ...process.env, ...this.#spec.env() },
      stdio: ['pipe', 'pipe', log],
    });
    closeSync(log);
    // Writing nothing, we only learn here that the reader is gone, and its end is noticed by itself.
    child.stdin?.on('error', () => {});
    const ended = new Promise<Ending>((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('exit', (code, signal) => resolve(signal ?? `exit ${code}`));
    });
    this.#run = { child, ended, ready: this.#readiness(child, ended, offset) };
    // Whoever stops it while it starts never looks at its readiness.
    this.#run.ready.catch(() => {});
    this.#events.onProcess();
    return this.#run;
  }

  #readiness(child: ChildProcess, ended: Promise<Ending>, offset: number): Promise<ChildLine> {
    const { name, isReady, readyTimeoutMs } = this.#spec;
    return new Promise((resolve, reject) => {
      const log = logPath(this.#logs, name);
      const fail = (what: string): void => reject(failureOf(`${name} ${what}`, log, offset));
      const timer = setTimeout(() => fail(`was not ready after ${readyTimeoutMs / 1000} s`), readyTimeoutMs);
      void ended.then((ending) => {
        clearTimeout(timer);
        fail(`ended while starting (${ending})`);
      });
      const lines = createInterface({ input: child.stdout! });
      lines.on('line', (text) => {
        const line = readChildLine(text);
        if (line === undefined) return;
        const error = errorOfLine(line);
        if (!error && !isReady(line)) return;
        clearTimeout(timer);
        if (error) reject(error);
        else resolve(line);
      });
    });
  }
}
