import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Accelerator } from '../micro-vm.js';

/** What a VM is booted from. */
export interface VmAssets {
  readonly vmlinuxPath: string;
  readonly initramfsPath: string;
  /** Read-only root file system. */
  readonly imagePath: string;
  /** What the preparation of the assets has found to work here. */
  readonly accelerator: Accelerator;
}

const templateSchema = z.object({ imageId: z.string() });
const verdictSchema = z.object({ verdict: z.object({ usable: z.boolean() }) });

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
  const { imageId } = templateSchema.parse(JSON.parse(record));
  const probed = await readFile(join(assetsDir, 'accelerator.json'), 'utf8');
  const { usable } = verdictSchema.parse(JSON.parse(probed)).verdict;
  return {
    vmlinuxPath: join(kernel, 'vmlinux'),
    initramfsPath: newest.path,
    imagePath: join(assetsDir, 'images', imageId, 'root.ext4'),
    accelerator: usable ? 'kvm' : 'tcg',
  };
}
