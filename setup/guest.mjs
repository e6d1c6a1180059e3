import { spawnSync } from 'node:child_process';
import { run } from './run.mjs';

/**
 * Whether make would have nothing to do.
 *
 * @param {string} root
 * @returns {boolean}
 */
export function isGuestCurrent(root) {
  return spawnSync('make', ['--question', '-C', 'guest'], { cwd: root, stdio: 'ignore' }).status === 0;
}

/**
 * @param {string} root
 * @param {(line: string) => void} onLine
 * @returns {Promise<void>}
 */
export function buildGuest(root, onLine) {
  return run('make', ['-C', 'guest'], {
    cwd: root,
    what: 'make -C guest',
    suggestion:
      'The guest agent does not compile: mend what the lines above name, or run: make -C guest clean',
    onLine,
  });
}
