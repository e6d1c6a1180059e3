import { createHash } from 'node:crypto';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './run.mjs';
import { isStamped, removeStamp, writeStamp } from './stamp.mjs';

const WORKSPACES = ['packages', 'apps'];
const ROOT_FILES = ['package-lock.json', 'tsconfig.json', 'tsconfig.base.json'];
/** Never part of a source tree. */
const SKIPPED = new Set(['dist', 'node_modules']);

/** The projects given to `tsc -b`; each brings the ones it references. */
const TARGETS = Object.freeze({ cli: 'apps/cli', all: '.' });

/**
 * @param {string} root
 * @param {'cli' | 'all'} target
 */
const stampPath = (root, target) => join(root, '.dormouse', 'setup', `build-${target}`);

/**
 * Whether the built JavaScript belongs to the sources as they are. Asking `tsc -b` would take a second each time.
 *
 * @param {string} root
 * @param {'cli' | 'all'} target
 * @returns {boolean}
 */
export function isBuildCurrent(root, target) {
  const { fingerprint, projects } = readSources(root);
  if (!existsSync(join(root, 'apps/cli/dist/main.js'))) return false;
  const whole = isStamped(stampPath(root, 'all'), fingerprint);
  if (whole) return projects.every((dir) => existsSync(join(root, dir, 'dist', '.tsbuildinfo')));
  return target === 'cli' && isStamped(stampPath(root, 'cli'), fingerprint);
}

/**
 * @param {string} root
 * @param {'cli' | 'all'} target
 * @param {(line: string) => void} onLine
 * @returns {Promise<void>}
 */
export async function build(root, target, onLine) {
  // Taken before the compiler reads: a source that changes meanwhile leaves a stamp that no longer fits.
  const { fingerprint } = readSources(root);
  removeStamp(stampPath(root, target));
  await run(process.execPath, ['node_modules/typescript/bin/tsc', '-b', TARGETS[target]], {
    cwd: root,
    what: 'tsc -b',
    suggestion: 'The sources do not compile: mend what the lines above name, or check out a clean commit.',
    onLine,
  });
  writeStamp(stampPath(root, target), fingerprint);
}

/**
 * One hash over path, size and modification time of everything the compiler reads, and the projects there are.
 *
 * @param {string} root
 * @returns {{ fingerprint: string, projects: readonly string[] }}
 */
export function readSources(root) {
  const hash = createHash('sha256');
  /** @type {string[]} */
  const projects = [];
  for (const file of ROOT_FILES) add(file);
  for (const workspace of WORKSPACES) {
    for (const entry of list(workspace)) {
      if (entry.isDirectory()) walk(`${workspace}/${entry.name}`);
    }
  }
  return { fingerprint: hash.digest('hex'), projects };

  /** @param {string} directory */
  function walk(directory) {
    for (const entry of list(directory)) {
      const path = `${directory}/${entry.name}`;
      if (entry.isDirectory()) {
        if (!SKIPPED.has(entry.name)) walk(path);
      } else if (/\.(ts|tsx|json)$/.test(entry.name)) {
        add(path);
        if (entry.name === 'tsconfig.json') projects.push(directory);
      }
    }
  }

  /** @param {string} path */
  function list(path) {
    const absolute = join(root, path);
    if (!existsSync(absolute)) return [];
    return readdirSync(absolute, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** @param {string} path */
  function add(path) {
    const stats = statSync(join(root, path), { throwIfNoEntry: false });
    if (stats) hash.update(`${path}\0${stats.size}\0${stats.mtimeMs}\n`);
  }
}
