import { accessSync, constants, readdirSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { run } from './run.mjs';
import { SetupError } from './setup-error.mjs';

/**
 * A Debian package and how to see that what we need of it is there. Probing the thing itself also accepts what
 * was built from source or came with the machine's image.
 *
 * @typedef {object} DebianPackage
 * @property {string} name
 * @property {string} [tool] a command that must be found
 * @property {string} [file] a file that must exist
 */

/**
 * What running sandboxes needs, and what the tests need besides (the guest agent is tested as an ordinary program,
 * under the sanitizers). Data, because `up` and `doctor` read the same table.
 *
 * @type {{ runtime: DebianPackage[], test: DebianPackage[] }}
 */
const TABLE = JSON.parse(readFileSync(new URL('./debian-packages.json', import.meta.url), 'utf8'));

/** Where Debian keeps tools; `su` without a dash leaves the sbin directories out of PATH. */
const TOOL_DIRECTORIES = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/**
 * @param {'none' | 'runtime' | 'test'} set
 * @returns {readonly DebianPackage[]}
 */
export function packagesOf(set) {
  if (set === 'none') return [];
  return set === 'test' ? [...TABLE.runtime, ...TABLE.test] : TABLE.runtime;
}

/**
 * PATH with Debian's tool directories appended where they are missing.
 *
 * @param {string | undefined} path
 * @returns {string}
 */
export function completePath(path) {
  const given = (path ?? '').split(delimiter).filter((dir) => dir !== '');
  return [...given, ...TOOL_DIRECTORIES.filter((dir) => !given.includes(dir))].join(delimiter);
}

/**
 * The packages whose tool or file is not there.
 *
 * @param {readonly DebianPackage[]} packages
 * @param {string} path a PATH
 * @param {(file: string, executable: boolean) => boolean} [exists]
 * @returns {readonly DebianPackage[]}
 */
export function missingPackages(packages, path, exists = isThere) {
  const directories = path.split(delimiter);
  return packages.filter(({ tool, file }) => {
    if (tool !== undefined && !directories.some((dir) => exists(join(dir, tool), true))) return true;
    return file !== undefined && !exists(file, false);
  });
}

/**
 * @param {string} file
 * @param {boolean} executable
 * @returns {boolean}
 */
function isThere(file, executable) {
  try {
    accessSync(file, executable ? constants.X_OK : constants.F_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Installs packages through apt-get, which must run as root.
 *
 * @param {readonly DebianPackage[]} packages
 * @param {string} cwd
 * @param {(line: string) => void} onLine
 * @returns {Promise<void>}
 */
export async function installPackages(packages, cwd, onLine) {
  const names = packages.map(({ name }) => name);
  const apt = (/** @type {readonly string[]} */ ...args) =>
    run('apt-get', ['-o', 'DPkg::Lock::Timeout=300', ...args], {
      cwd,
      what: `apt-get ${args[0]}`,
      suggestion: `Look at the lines above, then run: apt-get install ${names.join(' ')}`,
      env: { DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' },
      onLine,
    });
  const install = () => apt('install', '--yes', '--no-install-recommends', ...names);
  if (!hasPackageLists()) {
    await apt('update');
    await install();
    return;
  }
  try {
    await install();
  } catch {
    // Package lists grow old (404s), and a dpkg that was cut short must be finished before anything else.
    await run('dpkg', ['--configure', '-a'], {
      cwd,
      what: 'dpkg --configure -a',
      suggestion: 'Look at the lines above and repair the package system.',
      env: { DEBIAN_FRONTEND: 'noninteractive' },
      onLine,
    });
    await apt('update');
    await install();
  }
}

/** @returns {boolean} whether apt knows any package; fresh container images ship without lists */
function hasPackageLists() {
  try {
    return readdirSync('/var/lib/apt/lists').some((name) => name.includes('_Packages'));
  } catch {
    return false;
  }
}

/**
 * The error of a user who may not install.
 *
 * @param {readonly DebianPackage[]} packages
 * @returns {SetupError}
 */
export function notRootError(packages) {
  const names = packages.map(({ name }) => name).join(' ');
  return new SetupError(`Debian packages are missing and only root can install them: ${names}`, {
    code: 'missing_tool',
    exitCode: 4,
    suggestion: `Run as root: apt-get install ${names}`,
  });
}
