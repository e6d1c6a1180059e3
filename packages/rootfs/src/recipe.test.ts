import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { loadRecipe } from './recipe.js';
import { temporaryDirectory } from './testing/temporary-directory.js';

const SHIPPED = fileURLToPath(new URL('../../../images/', import.meta.url));

async function recipes(files: Readonly<Record<string, unknown>>) {
  const directory = await temporaryDirectory();
  for (const [name, content] of Object.entries(files)) {
    const text = typeof content === 'string' ? content : JSON.stringify(content);
    await writeFile(join(directory.path, `${name}.json`), text);
  }
  return directory;
}

describe('a recipe', () => {
  test('that says nothing gets the defaults', async () => {
    await using directory = await recipes({ small: { description: 'small' } });
    expect(await loadRecipe(directory.path, 'small')).toEqual({
      name: 'small',
      description: 'small',
      suite: 'bookworm',
      packages: [],
      npm: [],
      run: [],
      user: 'root',
      vcpus: 1,
      memoryMb: 512,
      diskMb: 8192,
    });
  });

  test('inherits lists from the oldest ancestor on and settings from the nearest that has them', async () => {
    await using directory = await recipes({
      first: {
        description: 'first',
        suite: 'trixie',
        packages: ['bash', 'git'],
        npm: ['npm@10'],
        run: ['useradd user', 'sync'],
        user: 'user',
        vcpus: 2,
        memory_mb: 256,
        disk_mb: 1024,
      },
      second: {
        description: 'second',
        extends: 'first',
        packages: ['git', 'python3'],
        run: ['sync'],
        vcpus: 4,
      },
      third: { description: 'third', extends: 'second', npm: ['npm@10', '@types/node@^20'], memory_mb: 2048 },
    });
    expect(await loadRecipe(directory.path, 'third')).toEqual({
      name: 'third',
      description: 'third',
      suite: 'trixie',
      packages: ['bash', 'git', 'python3'],
      npm: ['npm@10', '@types/node@^20'],
      run: ['useradd user', 'sync', 'sync'],
      user: 'user',
      vcpus: 4,
      memoryMb: 2048,
      diskMb: 1024,
    });
  });

  test.each([
    ['itself', { a: { description: 'a', extends: 'a' } }],
    ['a circle', { a: { description: 'a', extends: 'b' }, b: { description: 'b', extends: 'a' } }],
  ])('that extends %s is refused', async (_name, files) => {
    await using directory = await recipes(files);
    await expect(loadRecipe(directory.path, 'a')).rejects.toMatchObject({
      code: 'invalid_request',
      message: 'recipe a extends more than 16 others, or itself',
    });
  });

  test('that is not there is not found, whoever names it', async () => {
    await using directory = await recipes({ child: { description: 'c', extends: 'parent' } });
    await expect(loadRecipe(directory.path, 'child')).rejects.toMatchObject({
      code: 'not_found',
      message: "there is no recipe 'parent'",
      suggestion: 'Write images/parent.json; images/README.md says how.',
    });
  });

  test.each(['../base', '..', '.hidden', '', 'a/b', '/etc/passwd', 'a\0', 'x'.repeat(65), 'a\n'])(
    'hazard 14: %j is no name of one',
    async (name) => {
      await using directory = await recipes({});
      await expect(loadRecipe(directory.path, name)).rejects.toMatchObject({
        code: 'invalid_request',
        message: `'${name}' is no template name`,
      });
    },
  );

  test.each([
    ['an ancestor outside', { description: 'a', extends: '../../etc/x' }, /extends/],
    ['a package with an option', { description: 'a', packages: ['--hook-dir=/tmp'] }, /packages\[0\]/],
    ['an npm package without a version', { description: 'a', npm: ['left-pad'] }, /npm\[0\]/],
    ['an npm package from a path', { description: 'a', npm: ['../x@1'] }, /npm\[0\]/],
    ['a suite with an option', { description: 'a', suite: '-x' }, /suite/],
    ['too little memory', { description: 'a', memory_mb: 64 }, /memory_mb/],
    ['half a processor', { description: 'a', vcpus: 0.5 }, /vcpus/],
    ['a misspelt field', { description: 'a', package: [] }, /"package"/],
    ['no description', {}, /description/],
    ['a list instead of an object', [], /expected object/],
  ])('with %s is refused, and the message says where', async (_name, content, where) => {
    await using directory = await recipes({ a: content });
    await expect(loadRecipe(directory.path, 'a')).rejects.toMatchObject({
      code: 'invalid_request',
      message: expect.stringMatching(where),
    });
  });

  test.each(['', '{', 'null', '{"description": "a",}'])('of the text %j is refused', async (text) => {
    await using directory = await recipes({ a: text });
    await expect(loadRecipe(directory.path, 'a')).rejects.toMatchObject({
      code: 'invalid_request',
      message: expect.stringMatching(/^images\/a\.json: /),
    });
  });

  test('of every name that comes with Dormouse makes sense', async () => {
    const names = (await readdir(SHIPPED))
      .filter((file) => file.endsWith('.json'))
      .map((file) => file.slice(0, -5));
    expect(names).toContain('base');
    for (const name of names) expect((await loadRecipe(SHIPPED, name)).packages).toContain('bash');
  });
});
