import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './run.mjs';
import { isStamped, removeStamp, writeStamp } from './stamp.mjs';

/**
 * The parts of npm's lock files that are compared.
 *
 * @typedef {object} LockedPackage
 * @property {string} [version]
 * @property {boolean} [link] a workspace
 * @property {boolean} [optional] may be left out, for another platform say
 * @property {boolean} [devOptional]
 * @property {boolean} [peer]
 *
 * @typedef {{ packages?: Record<string, LockedPackage> }} LockFile
 */

/** Lines of npm's output that are shown when it fails. */
const SHOWN_LINES = 10;

/** @param {string} root */
const stampPath = (root) => join(root, 'node_modules', '.dormouse-install');

/**
 * Whether `node_modules` holds what `package-lock.json` asks for.
 *
 * @param {string} root
 * @returns {boolean}
 */
export function areModulesCurrent(root) {
  const lock = readFileSync(join(root, 'package-lock.json'));
  const fingerprint = fingerprintOf(lock);
  if (isStamped(stampPath(root), fingerprint)) return true;
  const installed = readLock(join(root, 'node_modules', '.package-lock.json'));
  if (installed === undefined || !isSameInstallation(JSON.parse(lock.toString()), installed)) return false;
  writeStamp(stampPath(root), fingerprint);
  return true;
}

/**
 * @param {string} root
 * @param {(line: string) => void} onLine
 * @returns {Promise<void>}
 */
export async function installModules(root, onLine) {
  const fingerprint = fingerprintOf(readFileSync(join(root, 'package-lock.json')));
  removeStamp(stampPath(root));
  await run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=http'], {
    cwd: root,
    what: 'npm ci',
    suggestion:
      'Check the network and the free disk space, then run the same command again: it starts afresh.',
    env: { npm_config_update_notifier: 'false' },
    onLine,
    telling: firstErrors,
  });
  writeStamp(stampPath(root), fingerprint);
}

/**
 * npm says what is wrong first, and then explains itself at length.
 *
 * @param {readonly string[]} lines
 * @returns {readonly string[]}
 */
export function firstErrors(lines) {
  const errors = lines.filter((line) => /^npm (error|ERR!) \S/.test(line));
  return (errors.length > 0 ? errors : lines.slice(-SHOWN_LINES)).slice(0, SHOWN_LINES);
}

/**
 * Whether the lock file npm leaves inside `node_modules` (written last, so a broken installation has none) tells
 * of the same packages. Lets an `npm install` done by hand count.
 *
 * @param {LockFile} wanted
 * @param {LockFile} installed
 * @returns {boolean}
 */
export function isSameInstallation(wanted, installed) {
  const there = installed.packages ?? {};
  const asked = wanted.packages ?? {};
  const paths = Object.keys(asked).filter((path) => path.includes('node_modules/'));
  if (paths.length === 0) return false;
  for (const path of paths) {
    const [want, have] = [asked[path] ?? {}, there[path]];
    if (have === undefined) {
      if (want.optional || want.devOptional || want.peer) continue;
      return false;
    }
    if (want.version !== have.version || want.link !== have.link) return false;
  }
  return Object.keys(there).every((path) => Object.hasOwn(asked, path));
}

/**
 * @param {string} path
 * @returns {LockFile | undefined}
 */
function readLock(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

/**
 * The ABI belongs to it: native modules are chosen for one.
 *
 * @param {Buffer} lock
 * @returns {string}
 */
function fingerprintOf(lock) {
  const platform = `${process.platform}-${process.arch}-${process.versions.modules}`;
  return createHash('sha256').update(platform).update(lock).digest('hex');
}
