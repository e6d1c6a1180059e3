import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

/** What a VM is booted from. */
export interface VmAssets {
  readonly vmlinuxPath: string;
  readonly initramfsPath: string;
  /** Read-only root file system. */
  readonly imagePath: string;
}

/** The newest kernel, the newest initramfs and the image of template `base` in DORMOUSE_ASSETS_DIR. */
export async function vmAssets(): Promise<VmAssets> {
  const assetsDir = process.env.DORMOUSE_ASSETS_DIR;
  if (assetsDir === undefined) throw new Error('DORMOUSE_ASSETS_DIR is not set; run the project `vm`');
  const kernels = join(assetsDir, 'kernels');
  const versions = (await readdir(kernels)).filter((name) => /^\d/.test(name));
  const kernel = join(kernels, versions.toSorted().at(-1) ?? 'none');
  const initramfs = (await readdir(kernel)).filter((name) => name.endsWith('.cpio'));
  const dated = await Promise.all(
    initramfs.map(async (name) => ({
      path: join(kernel, name),
      time: (await stat(join(kernel, name))).mtimeMs,
    })),
  );
  const newest = dated.toSorted((a, b) => b.time - a.time)[0];
  if (newest === undefined) throw new Error(`there is no initramfs in ${kernel}`);
  const record = await readFile(join(assetsDir, 'templates', 'base.json'), 'utf8');
  const { imageId } = z.object({ imageId: z.string() }).parse(JSON.parse(record));
  return {
    vmlinuxPath: join(kernel, 'vmlinux'),
    initramfsPath: newest.path,
    imagePath: join(assetsDir, 'images', imageId, 'root.ext4'),
  };
}
