import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import { killTree } from './process-tree.js';

/** How much of a failed command's output is kept for the error message. */
const KEPT_OUTPUT_CHARS = 2_000;

/** How to run a command. */
export interface RunOptions {
  readonly cwd?: string;
  readonly timeoutMs: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Called with every line the command writes on standard error. */
  readonly onLine?: (line: string) => void;
}

/**
 * Runs a command to its end and answers what it wrote on standard output. A command that is cut short is killed
 * together with everything it has started.
 *
 * @throws DormouseError `missing_tool` when there is no such program; `setup_failed` with the last lines it wrote
 *   when it fails or does not end within `timeoutMs`; `cancelled` by `signal`
 */
export async function run(command: readonly [string, ...string[]], options: RunOptions): Promise<string> {
  const [program, ...args] = command;
  const cancelled = (): DormouseError => new DormouseError('cancelled', `${program} was cancelled`);
  if (options.signal?.aborted) throw cancelled();
  return await new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: options.cwd,
      env: { ...process.env, LC_ALL: 'C.UTF-8', ...options.env },
    });
    const cutShort = (): void => {
      if (child.pid !== undefined) killTree(child.pid);
    };
    const timer = setTimeout(cutShort, options.timeoutMs);
    options.signal?.addEventListener('abort', cutShort);
    const settle = (): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', cutShort);
    };
    const out: Buffer[] = [];
    let errors = '';
    let partial = '';
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      errors = (errors + chunk).slice(-KEPT_OUTPUT_CHARS);
      const lines = (partial + chunk).split(/[\r\n]+/);
      partial = lines.pop() ?? '';
      for (const line of lines) if (line !== '') options.onLine?.(line);
    });
    child.once('error', (error) => {
      settle();
      reject(startFailure(program, options.cwd, error));
    });
    child.once('close', (code, signal) => {
      settle();
      if (partial !== '') options.onLine?.(partial);
      if (options.signal?.aborted) return reject(cancelled());
      const output = Buffer.concat(out).toString('utf8');
      if (code === 0) return resolve(output);
      const how = code === null ? `ended by ${signal}` : `exit code ${code}`;
      const words = (errors.trim() || output.trim()).slice(-KEPT_OUTPUT_CHARS);
      reject(new DormouseError('setup_failed', `${program} failed (${how}): ${words}`));
    });
  });
}

/** The kernel says ENOENT for a program as for a working directory that is not there. */
function startFailure(program: string, cwd: string | undefined, error: Error): DormouseError {
  if (systemErrorCode(error) !== 'ENOENT') {
    return new DormouseError('setup_failed', `${program}: ${error.message}`, { cause: error });
  }
  return cwd === undefined || existsSync(cwd)
    ? new DormouseError('missing_tool', `${program} is not installed`, { cause: error })
    : new DormouseError('setup_failed', `${program}: the directory ${cwd} is missing`, { cause: error });
}
