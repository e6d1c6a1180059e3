import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, fstatSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { DormouseError } from '@dormouse/errors';
import { ENTRY_POINTS } from '../checkout.js';
import type { Step, Steps } from '../terminal/steps.js';
import { type ChildLine, errorOfLine, readChildLine } from './child-line.js';
import { failureOf } from './failure.js';
import { logPath, openLog } from './logs.js';

const NAME = 'prepare';

/** How long the preparation may take to clean up after SIGTERM. */
const STOP_TIMEOUT_MS = 20_000;

/** What to prepare. */
export interface AssetsRequest {
  /** The data directory. */
  readonly assets: string;
  readonly template: string;
  /** Make the template again although it is there. */
  readonly rebuild?: boolean | undefined;
  /** Directory of the logs. */
  readonly logs: string;
  /** Told the pid of the program that prepares. */
  readonly onProcess?: ((name: string, pid: number) => void) | undefined;
}

/**
 * Prepares the kernel and a template; what is there already is left alone. Shows each step.
 *
 * @returns the program's last line
 * @throws DormouseError what the program reported, or `setup_failed` with the end of its log
 */
export async function prepareAssets(
  request: AssetsRequest,
  steps: Steps,
  signal: AbortSignal,
): Promise<ChildLine> {
  signal.throwIfAborted();
  requireEntryPoint(ENTRY_POINTS.prepare);
  const rebuild = request.rebuild ? ['--rebuild'] : [];
  const args = [ENTRY_POINTS.prepare, '--assets', request.assets, '--template', request.template, ...rebuild];
  const log = openLog(request.logs, NAME);
  const offset = fstatSync(log).size;
  const child = spawn(process.execPath, args, {
    cwd: '/',
    detached: true,
    env: { ...process.env, DORMOUSE_SUPERVISED: '1' },
    stdio: ['pipe', 'pipe', log],
  });
  closeSync(log);
  child.stdin?.on('error', () => {});
  if (child.pid !== undefined) request.onProcess?.(NAME, child.pid);
  const closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  let killer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    signalGroup(child, 'SIGTERM');
    killer = setTimeout(() => signalGroup(child, 'SIGKILL'), STOP_TIMEOUT_MS);
  };
  signal.addEventListener('abort', stop, { once: true });

  const shown = new ShownSteps(steps);
  let error: DormouseError | undefined;
  let last: ChildLine | undefined;
  createInterface({ input: child.stdout! }).on('line', (text) => {
    const line = readChildLine(text);
    if (!line) return;
    error ??= errorOfLine(line);
    if (line.done === true) last = line;
    else shown.take(line);
  });
  try {
    const [code, killedBy] = await closed;
    signal.throwIfAborted();
    if (code === 0 && last && !error) return last;
    const what = `preparing kernel and template failed (${killedBy ?? `exit ${code}`})`;
    throw error ?? failureOf(what, logPath(request.logs, NAME), offset);
  } finally {
    clearTimeout(killer);
    signal.removeEventListener('abort', stop);
    shown.fail();
  }
}

/** The tools it started stop with it: they would go on writing where the next preparation writes. */
function signalGroup(child: ChildProcess, name: 'SIGTERM' | 'SIGKILL'): void {
  if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
    process.kill(-child.pid, name);
}

/** @throws DormouseError `setup_failed` when a program of another app is not built */
export function requireEntryPoint(path: string): void {
  if (existsSync(path)) return;
  throw new DormouseError('setup_failed', `${path} is missing`, {
    suggestion: 'Start through ./dormouse, which builds everything first.',
  });
}

/** Turns the program's lines into steps. */
class ShownSteps {
  readonly #steps: Steps;
  readonly #open = new Map<string, Step>();

  constructor(steps: Steps) {
    this.#steps = steps;
  }

  take({ step: name, status, detail, percent }: ChildLine): void {
    if (typeof name !== 'string') return;
    const text = [
      typeof percent === 'number' ? `${Math.round(percent)} %` : '',
      typeof detail === 'string' ? detail : '',
    ]
      .filter((part) => part !== '')
      .join(' ');
    const step = this.#open.get(name) ?? this.#steps.start(`Prepare ${name}`);
    this.#open.set(name, step);
    if (status === 'done' || status === 'skip') {
      this.#open.delete(name);
      const said = typeof detail === 'string' ? detail : undefined;
      if (status === 'done') step.done(said);
      else step.skip(said ?? 'already there');
    } else {
      step.update(text);
    }
  }

  /** What is still open did not come to its end. */
  fail(): void {
    for (const step of this.#open.values()) step.fail();
    this.#open.clear();
  }
}
