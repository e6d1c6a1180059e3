import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * A stamp is a small file that says for which input a step was completed. It is removed before the step begins
 * and written after it ended, so a run that was cut short is repeated.
 *
 * @param {string} path
 * @param {string} fingerprint of the step's input
 * @returns {boolean} whether the step was completed for exactly this input
 */
export function isStamped(path, fingerprint) {
  try {
    return readFileSync(path, 'utf8') === `${fingerprint}\n`;
  } catch {
    return false;
  }
}

/**
 * @param {string} path
 */
export function removeStamp(path) {
  rmSync(path, { force: true });
}

/**
 * @param {string} path
 * @param {string} fingerprint
 */
export function writeStamp(path, fingerprint) {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, `${fingerprint}\n`);
  renameSync(temporary, path);
}
