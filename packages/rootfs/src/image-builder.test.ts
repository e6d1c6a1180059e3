import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { removeAbandonedBuilds } from './image-builder.js';
import { temporaryDirectory } from './testing/temporary-directory.js';

describe('abandoned builds', () => {
  test('hazard 16: go, wherever they were interrupted; what was finished stays', async () => {
    await using directory = await temporaryDirectory();
    const finished = [
      'accelerator.json',
      'images/img1/root.ext4',
      'kernels/6.1.0/initramfs-1.cpio',
      'kernels/6.1.0/vmlinux',
      'templates/base.json',
    ];
    const abandoned = [
      'accelerator.json.77.tmp',
      'images/tmp-a/tree/etc/passwd',
      'kernels/tmp-b/package/boot/vmlinuz',
      'kernels/6.1.0/tmp-c/root/init',
      'kernels/6.1.0/initramfs-2.cpio.77.tmp',
      'templates/base.json.77.tmp',
    ];
    for (const path of [...finished, ...abandoned]) {
      await mkdir(dirname(join(directory.path, path)), { recursive: true });
      await writeFile(join(directory.path, path), '');
    }
    await removeAbandonedBuilds(directory.path);
    const entries = await readdir(directory.path, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile());
    expect(
      files.map((file) => join(file.parentPath, file.name).slice(directory.path.length + 1)).toSorted(),
    ).toEqual(finished);
    expect(entries.filter((entry) => entry.name.startsWith('tmp-'))).toEqual([]);
  });

  test('of a directory that is not there yet are none', async () => {
    await using directory = await temporaryDirectory();
    await removeAbandonedBuilds(join(directory.path, 'none'));
    expect(await readdir(directory.path)).toEqual([]);
  });
});
