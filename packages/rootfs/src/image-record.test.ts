import { cp, mkdir, open, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isRecorded, recordImage, verifyImage } from './image-record.js';
import { imagePath } from './template.js';
import { temporaryDirectory } from './testing/temporary-directory.js';

const ID = 'img0123456789abcdefghij';
const MIB = 1024 * 1024;

async function image(assetsDir: string): Promise<string> {
  const path = imagePath(assetsDir, ID);
  await mkdir(dirname(path), { recursive: true });
  await using file = await open(path, 'w');
  await file.write('first', 0);
  await file.write('in the middle', 5 * MIB + 10);
  await file.truncate(9 * MIB + 5);
  return path;
}

async function change(path: string, at: number): Promise<void> {
  await using file = await open(path, 'r+');
  await file.write('!', at);
}

describe('hazard 6: an image', () => {
  test('that is as it was built passes, also as a copy with another inode and time', async () => {
    await using dir = await temporaryDirectory();
    const path = await image(dir.path);
    expect(await isRecorded(dir.path, ID)).toBe(false);
    await verifyImage(dir.path, ID);
    await recordImage(path);
    expect(await isRecorded(dir.path, ID)).toBe(true);
    await verifyImage(dir.path, ID);
    const before = await readFile(`${path}.json`, 'utf8');
    await cp(path, join(dir.path, 'copy'));
    await rename(join(dir.path, 'copy'), path);
    await verifyImage(dir.path, ID);
    // It was found right, and is not hashed again until its file changes.
    expect(await readFile(`${path}.json`, 'utf8')).not.toBe(before);
  });

  test.each([0, 3 * MIB, 5 * MIB + 12, 9 * MIB + 4])(
    'with a byte changed at %d is refused by name',
    async (at) => {
      await using dir = await temporaryDirectory();
      const path = await image(dir.path);
      await recordImage(path);
      await change(path, at);
      await utimes(path, 1, 1);
      await expect(verifyImage(dir.path, ID)).rejects.toMatchObject({
        code: 'snapshot_corrupt',
        message: `image ${ID} is not what was built`,
      });
    },
  );

  test('that is missing, or has a record that cannot be understood, is an error', async () => {
    await using dir = await temporaryDirectory();
    const path = await image(dir.path);
    await recordImage(path);
    await writeFile(`${path}.json`, 'torn');
    await expect(verifyImage(dir.path, ID)).rejects.toThrow(SyntaxError);
    await rm(path);
    await expect(verifyImage(dir.path, ID)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
