import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { assetPaths } from './assets.js';
import { putTemplate } from './template.js';
import { BASE } from './testing/template.js';
import { temporaryDirectory } from './testing/temporary-directory.js';
import { removeUnusedImages } from './unused-images.js';

const [NAMED, USED, UNUSED, YOUNG] = ['n', 'u', 'x', 'y'].map((letter) => `img${letter.repeat(20)}`) as [
  string,
  string,
  string,
  string,
];
/** Assets with one image of each kind, all but one of them two hours old. */
async function assets() {
  const directory = await temporaryDirectory();
  const { images, templates } = assetPaths(directory.path);
  await mkdir(templates);
  await putTemplate(directory.path, { ...BASE, imageId: NAMED });
  const twoHoursAgo = new Date(Date.now() - 2 * 3_600_000);
  for (const id of [NAMED, USED, UNUSED, YOUNG]) {
    await mkdir(join(images, id), { recursive: true });
    await writeFile(join(images, id, 'root.ext4'), 'an image');
    if (id !== YOUNG) await utimes(join(images, id), twoHoursAgo, twoHoursAgo);
  }
  return { directory, images, templates };
}

test('hazard 19: of all images those stay that a template has, that a disk lies on, or that are new', async () => {
  const { directory, images } = await assets();
  await using _ = directory;
  expect(await removeUnusedImages(directory.path, () => new Set([USED]))).toEqual([UNUSED]);
  expect((await readdir(images)).toSorted()).toEqual([NAMED, USED, YOUNG].toSorted());
  expect(await removeUnusedImages(directory.path, () => new Set([USED]), 0)).toEqual([YOUNG]);
});

test('hazard 5: as long as a template cannot be read no image goes', async () => {
  const { directory, images, templates } = await assets();
  await using _ = directory;
  await writeFile(join(templates, 'other.json'), '{"torn');
  await expect(removeUnusedImages(directory.path, () => new Set())).rejects.toMatchObject({
    code: 'internal',
  });
  expect(await readdir(images)).toHaveLength(4);
});
