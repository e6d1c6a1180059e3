import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDisk } from './lab-disks.mjs';
import { runOwned } from './lab-process.mjs';
import { isStamped, removeStamp, writeStamp } from './stamp.mjs';

/** What the lab host consists of: a kernel with KVM, QEMU, and what Dormouse and its tests call. */
const PACKAGES = [
  'linux-image-cloud-amd64',
  'initramfs-tools',
  'busybox-static',
  'zstd',
  'kmod',
  'tini',
  'qemu-system-x86',
  'qemu-utils',
  'nftables',
  'iproute2',
  'procps',
  'python3',
  'cpio',
  'e2fsprogs',
  'make',
  'ca-certificates',
  'libstdc++6',
];
const SUITE = 'bookworm';
const LEFT_OUT = ['/usr/share/man/*', '/usr/share/doc/*', '/usr/share/locale/*', '/usr/share/info/*'];
/** The initramfs mounts the root disk and no more, so that unpacking it costs an emulated processor little. */
const INITRAMFS = `MODULES=list
COMPRESS=lz4
RESUME=none
`;
const INITRAMFS_MODULES = ['virtio_pci', 'virtio_blk'];
/** Packages come from the mirror: bounded by what the slowest mirror may take. */
const BUILD_LIMIT_SECONDS = 20 * 60;
const ROOT_MB = 8192;

/** The first program of the lab host; everything that may change is on the checkout's disk. */
const FIRST_PROGRAM = `#!/bin/sh
set -eu
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -o remount,rw /
mkdir -p /lab
tar -xf /dev/vdb -C /lab
exec tini -- /bin/sh /lab/setup/lab/start.sh
`;

/** Files that are in the tree before most packages are, because the kernel's makes an initramfs of them. */
const FILES = {
  'etc/initramfs-tools/conf.d/lab': INITRAMFS,
  'usr/share/initramfs-tools/modules.d/lab': INITRAMFS_MODULES.map((name) => `${name}\n`).join(''),
  'usr/local/sbin/lab-init': FIRST_PROGRAM,
  'etc/hostname': 'lab\n',
  'etc/hosts': '127.0.0.1 localhost lab\n',
};

/**
 * A Debian that runs KVM: kernel, initramfs and root disk.
 *
 * @typedef {object} LabRoot
 * @property {string} kernel
 * @property {string} initrd
 * @property {string} disk
 */

/**
 * @param {string} dir of the lab
 * @returns {LabRoot}
 */
export function labRoot(dir) {
  return {
    kernel: join(dir, 'root', 'vmlinuz'),
    initrd: join(dir, 'root', 'initrd.img'),
    disk: join(dir, 'root', 'root.ext4'),
  };
}

/** @param {string} dir */
export function isRootCurrent(dir) {
  return isStamped(join(dir, 'root.stamp'), fingerprint());
}

/**
 * Makes the root disk by mmdebstrap, with this very Node.js in it.
 *
 * @param {string} dir
 * @param {(line: string) => void} onLine
 * @returns {Promise<void>}
 */
export async function makeRoot(dir, onLine) {
  const stamp = join(dir, 'root.stamp');
  removeStamp(stamp);
  const work = mkdtempSync(join(dir, 'tmp-'));
  try {
    const tree = join(work, 'tree');
    const result = join(work, 'root');
    const overlay = writeOverlay(join(work, 'overlay'));
    mkdirSync(result);
    await runOwned(
      'mmdebstrap',
      [
        '--mode=root',
        '--format=directory',
        '--variant=minbase',
        `--include=${PACKAGES.join(',')}`,
        ...LEFT_OUT.map((pattern) => `--dpkgopt=path-exclude=${pattern}`),
        '--aptopt=Apt::Install-Recommends "false"',
        `--essential-hook=cp -a "${overlay}"/. "$1"/`,
        SUITE,
        tree,
      ],
      {
        cwd: dir,
        what: 'mmdebstrap',
        suggestion: 'Look at the lines above; the Debian mirror must be reachable.',
        limitSeconds: BUILD_LIMIT_SECONDS,
        env: { DEBIAN_FRONTEND: 'noninteractive' },
        onLine,
      },
    );
    copyFileSync(join(tree, 'vmlinuz'), join(result, 'vmlinuz'));
    copyFileSync(join(tree, 'initrd.img'), join(result, 'initrd.img'));
    copyFileSync(process.execPath, join(tree, 'usr/local/bin/node'));
    onLine('writing the root disk');
    await makeDisk(tree, join(result, 'root.ext4'), ROOT_MB);
    rmSync(join(dir, 'root'), { recursive: true, force: true });
    renameSync(result, join(dir, 'root'));
    writeStamp(stamp, fingerprint());
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/**
 * @param {string} dir
 * @returns {string} the directory
 */
function writeOverlay(dir) {
  for (const [path, text] of Object.entries(FILES)) {
    mkdirSync(join(dir, path, '..'), { recursive: true });
    writeFileSync(join(dir, path), text, { mode: path.startsWith('usr/local/sbin/') ? 0o755 : 0o644 });
  }
  return dir;
}

function fingerprint() {
  const input = [PACKAGES, SUITE, LEFT_OUT, FILES, ROOT_MB, process.version, process.arch];
  return createHash('sha256').update(JSON.stringify(input)).digest('hex');
}
