import { run } from './run.mjs';

/**
 * A tool that ends when this process does, however that happens, and after a limit.
 *
 * @param {string} file
 * @param {readonly string[]} args
 * @param {import('./run.mjs').RunOptions & { limitSeconds: number }} options
 * @returns {Promise<void>}
 */
export function runOwned(file, args, { limitSeconds, ...options }) {
  const [program, ...all] = owned([file, ...args], limitSeconds);
  return run(program, all, options);
}

/**
 * The command with its owner and its limit: the kernel ends `timeout` when the thread that started it is gone
 * (PR_SET_PDEATHSIG), and `timeout` ends the tool, at the limit too. The lowest priority, because a lab keeps a
 * machine busy for a long time.
 *
 * @param {readonly string[]} command
 * @param {number} limitSeconds
 * @returns {readonly [string, ...string[]]}
 */
export function owned(command, limitSeconds) {
  const limit = ['timeout', '--kill-after=30', String(limitSeconds)];
  return ['setpriv', '--pdeathsig', 'TERM', '--', ...limit, 'nice', '-n', '19', ...command];
}
