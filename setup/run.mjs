import { spawn } from 'node:child_process';
import { SetupError } from './setup-error.mjs';

/** Lines of a failed tool's output that are shown. */
const SHOWN_LINES = 25;
/** Lines kept while a tool runs. */
const KEPT_LINES = 400;

/**
 * @typedef {object} RunOptions
 * @property {string} cwd
 * @property {string} what the step, for the error message: "npm ci"
 * @property {string} suggestion what to do when it fails
 * @property {Record<string, string>} [env] added to the environment
 * @property {(line: string) => void} [onLine] called with each line of output
 * @property {(lines: readonly string[]) => readonly string[]} [telling] which lines say why it failed; default: the last
 */

/**
 * Runs a tool quietly; its output is shown only when it fails.
 *
 * @param {string} file
 * @param {readonly string[]} args
 * @param {RunOptions} options
 * @returns {Promise<void>}
 * @throws {SetupError} when the tool cannot be started or ends with anything but 0
 */
export async function run(file, args, options) {
  /** @type {string[]} */
  const lines = [];
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr]) {
    let partial = '';
    stream.setEncoding('utf8');
    stream.on('data', (chunk) => {
      const pieces = (partial + chunk).split(/\r?\n|\r/);
      partial = pieces.pop() ?? '';
      for (const line of pieces) take(line);
    });
    stream.on('end', () => take(partial));
  }
  /** @param {string} line */
  function take(line) {
    if (line.trim() === '') return;
    lines.push(line);
    if (lines.length > KEPT_LINES) lines.shift();
    options.onLine?.(line);
  }
  const ending = await new Promise((resolve, reject) => {
    child.once('error', (cause) => {
      reject(
        new SetupError(`${options.what}: cannot start ${file}`, { suggestion: options.suggestion, cause }),
      );
    });
    child.once('close', (code, signal) => resolve(signal ?? code));
  });
  if (ending !== 0) {
    throw new SetupError(
      `${options.what} failed (${typeof ending === 'string' ? ending : `exit ${ending}`})`,
      {
        suggestion: options.suggestion,
        output: (options.telling?.(lines) ?? lines.slice(-SHOWN_LINES)).join('\n'),
      },
    );
  }
}
