import { readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from '@dormouse/errors';
import { assetPaths } from './assets.js';
import { listTemplates } from './template.js';

/** Time for whoever has built an image to give it a name. */
const GRACE_MS = 60 * 60_000;
const IMAGE_ID = /^img[a-z0-9]{20}$/;

/**
 * Removes images that no template has any more and nobody uses. While a template's record cannot be read nothing is
 * removed. Call it only where no other data directory shares these assets: nobody knows what that one uses.
 *
 * @param used ids of images that disks lie on; asked again for every image
 * @param graceMs how old an image is at least, default an hour
 * @returns ids of those that are gone
 */
export async function removeUnusedImages(
  assetsDir: string,
  used: () => ReadonlySet<string>,
  graceMs: number = GRACE_MS,
): Promise<readonly string[]> {
  const { images } = assetPaths(assetsDir);
  const removed: string[] = [];
  for (const id of await readdir(images).catch(() => [])) {
    if (!IMAGE_ID.test(id) || !(await isOld(join(images, id), graceMs))) continue;
    const named = new Set((await listTemplates(assetsDir)).map(({ imageId }) => imageId));
    if (named.has(id) || used().has(id)) continue;
    // What is interrupted here is removed with what builds have left behind.
    const doomed = join(images, `tmp-${id}`);
    await rename(join(images, id), doomed);
    await rm(doomed, { recursive: true, force: true });
    removed.push(id);
  }
  return removed;
}

async function isOld(path: string, graceMs: number): Promise<boolean> {
  try {
    return Date.now() - (await stat(path)).mtimeMs >= graceMs;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
}
