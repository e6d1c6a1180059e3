import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { commitByRename, replaceFile } from './commit.js';
import { temporaryDirectory } from './testing/temporary-directory.js';

describe('replacing a file', () => {
  test('gives it the new content and mode and leaves nothing beside it', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'journal.json');
    await replaceFile(path, 'old');
    expect((await stat(path)).mode & 0o777).toBe(0o644);
    await replaceFile(path, Buffer.from([0, 255, 10]), 0o600);
    expect(await readFile(path)).toEqual(Buffer.from([0, 255, 10]));
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(directory.path)).toEqual(['journal.json']);
  });

  test('hazard 4: readers see the old content or the new one, never a part', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'journal.json');
    const size = 256 * 1024;
    await replaceFile(path, Buffer.alloc(size, '0'));
    let writing = true;
    const seen = new Set<string>();
    const reader = (async () => {
      while (writing) {
        const content = await readFile(path);
        expect(content.length).toBe(size);
        expect(content.equals(Buffer.alloc(size, content[0]))).toBe(true);
        seen.add(String.fromCharCode(content[0]!));
      }
    })();
    for (let round = 0; round < 30; round++) await replaceFile(path, Buffer.alloc(size, String(round % 10)));
    writing = false;
    await reader;
    expect(seen.size).toBeGreaterThan(1);
  });

  test('by several at once leaves what one of them wrote, and fails none', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'record.json');
    const contents = Array.from({ length: 20 }, (_, n) => `writer ${n}`.repeat(1_000));
    await Promise.all(contents.map((content) => replaceFile(path, content)));
    expect(contents).toContain(await readFile(path, 'utf8'));
    expect(await readdir(directory.path)).toEqual(['record.json']);
  });

  test('that cannot be done leaves the old state and no temporary file', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'a-directory');
    await mkdir(path);
    await writeFile(join(path, 'inside'), 'kept');
    await expect(replaceFile(path, 'new')).rejects.toMatchObject({ code: 'EISDIR' });
    expect(await readdir(directory.path)).toEqual(['a-directory']);
    expect(await readFile(join(path, 'inside'), 'utf8')).toBe('kept');
    await expect(replaceFile(join(directory.path, 'none', 'x'), 'new')).rejects.toMatchObject({
      code: 'ENOENT',
    });
    expect(await readdir(directory.path)).toEqual(['a-directory']);
  });
});

describe('committing by rename', () => {
  test('gives a whole directory its name', async () => {
    await using directory = await temporaryDirectory();
    const work = join(directory.path, 'tmp-x');
    await mkdir(work);
    await writeFile(join(work, 'root.ext4'), 'image');
    await commitByRename(work, join(directory.path, 'img1'));
    expect(await readdir(directory.path, { recursive: true })).toEqual(['img1', 'img1/root.ext4']);
  });

  test('does not replace a directory that holds something', async () => {
    await using directory = await temporaryDirectory();
    for (const name of ['tmp-x', 'img1']) {
      await mkdir(join(directory.path, name));
      await writeFile(join(directory.path, name, 'root.ext4'), name);
    }
    await expect(
      commitByRename(join(directory.path, 'tmp-x'), join(directory.path, 'img1')),
    ).rejects.toMatchObject({ code: 'ENOTEMPTY' });
    expect(await readFile(join(directory.path, 'img1', 'root.ext4'), 'utf8')).toBe('img1');
  });
});
