import { execFile } from 'node:child_process';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

const INIT_SOURCE = fileURLToPath(new URL('guest-init.c', import.meta.url));

/** What a test guest is booted from. */
export interface GuestAssets {
  readonly vmlinuxPath: string;
  readonly initramfsPath: string;
  /** Read-only root file system. */
  readonly imagePath: string;
}

/**
 * The newest kernel and the image of template `base` in DORMOUSE_ASSETS_DIR, with an initramfs of its own in `folder`:
 * that of the assets, for its modules, and over it another PID 1. The kernel unpacks archives one after the other.
 */
export async function guestAssets(folder: string): Promise<GuestAssets> {
  const assetsDir = process.env.DORMOUSE_ASSETS_DIR;
  if (assetsDir === undefined) throw new Error('DORMOUSE_ASSETS_DIR is not set; run the project `vm`');
  const kernels = join(assetsDir, 'kernels');
  const versions = (await readdir(kernels)).filter((name) => /^\d/.test(name));
  const kernel = join(kernels, versions.toSorted().at(-1) ?? 'none');
  const init = join(folder, 'init');
  await run('gcc', ['-static', '-O2', '-s', '-Wall', '-Werror', '-o', init, INIT_SOURCE]);
  const initramfsPath = join(folder, 'initramfs.cpio');
  const parts = [await readFile(await newest(kernel, '.cpio')), archive('init', await readFile(init))];
  await writeFile(initramfsPath, Buffer.concat(parts));
  const record: unknown = JSON.parse(await readFile(join(assetsDir, 'templates', 'base.json'), 'utf8'));
  const { imageId } = record as { imageId: string };
  return {
    vmlinuxPath: join(kernel, 'vmlinux'),
    initramfsPath,
    imagePath: join(assetsDir, 'images', imageId, 'root.ext4'),
  };
}

async function newest(folder: string, suffix: string): Promise<string> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(suffix));
  const dated = await Promise.all(
    names.map(async (name) => ({ path: join(folder, name), ms: (await stat(join(folder, name))).mtimeMs })),
  );
  const found = dated.toSorted((a, b) => b.ms - a.ms)[0];
  if (found === undefined) throw new Error(`there is no *${suffix} in ${folder}`);
  return found.path;
}

/** One executable file as a cpio archive of the kind the kernel reads (`newc`). */
function archive(name: string, content: Uint8Array): Buffer {
  return Buffer.concat([entry(name, 0o100755, content), entry('TRAILER!!!', 0, new Uint8Array())]);
}

function entry(name: string, mode: number, content: Uint8Array): Buffer {
  const fields = [0, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length + 1, 0];
  const words = fields.map((field) => field.toString(16).padStart(8, '0')).join('');
  return Buffer.concat([
    padded(Buffer.from(`070701${words}${name}\0`, 'latin1')),
    padded(Buffer.from(content)),
  ]);
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}
