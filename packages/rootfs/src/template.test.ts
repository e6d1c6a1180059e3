import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { assetPaths } from './assets.js';
import type { Recipe } from './recipe.js';
import {
  findTemplate,
  imagePath,
  listTemplates,
  putTemplate,
  readTemplate,
  recipeHash,
  type Template,
} from './template.js';
import { BASE } from './testing/template.js';
import { temporaryDirectory } from './testing/temporary-directory.js';

const RECIPE: Recipe = {
  name: 'base',
  description: 'the base',
  suite: 'bookworm',
  packages: ['bash'],
  npm: [],
  run: [],
  user: 'user',
  ready: undefined,
  vcpus: 1,
  memoryMb: 512,
  diskMb: 8192,
};

async function assets() {
  const directory = await temporaryDirectory();
  await mkdir(assetPaths(directory.path).templates);
  return directory;
}

describe('template records', () => {
  test('come back as they were put, and a later one replaces an earlier one', async () => {
    await using directory = await assets();
    await putTemplate(directory.path, BASE);
    expect(await findTemplate(directory.path, 'base')).toEqual(BASE);
    const next: Template = { ...BASE, imageId: 'imgjihgfedcba9876543210' };
    await putTemplate(directory.path, next);
    expect(await findTemplate(directory.path, 'base')).toEqual(next);
    expect(await readdir(assetPaths(directory.path).templates)).toEqual(['base.json']);
  });

  test('are listed by name; what a crash left beside them is not', async () => {
    await using directory = await assets();
    for (const name of ['python', 'base', 'Node.18']) await putTemplate(directory.path, { ...BASE, name });
    await writeFile(join(assetPaths(directory.path).templates, 'base.json.123.tmp'), '{"half');
    const names = (await listTemplates(directory.path)).map((template) => template.name);
    expect(names).toEqual(['Node.18', 'base', 'python']);
  });

  test('are none in a directory that is not there', async () => {
    await using directory = await temporaryDirectory();
    expect(await listTemplates(join(directory.path, 'none'))).toEqual([]);
    expect(await readTemplate(join(directory.path, 'none'), 'base')).toBeUndefined();
  });

  test.each(['nothing', '../templates/base', '..', '', 'base/', 'base\0', './base'])(
    'hazard 14: %j is not found',
    async (name) => {
      await using directory = await assets();
      await putTemplate(directory.path, BASE);
      await expect(findTemplate(directory.path, name)).rejects.toMatchObject({
        code: 'not_found',
        message: `there is no template '${name}'`,
        suggestion: '`dormouse template ls` shows those there are.',
      });
    },
  );

  test.each([
    ['torn', JSON.stringify(BASE).slice(0, 100)],
    ['empty', ''],
    ['of another shape', '{"name":"base"}'],
    ['pointing outside', JSON.stringify({ ...BASE, imageId: '../../../etc/x' })],
  ])('hazard 6: a record that is %s is reported, not used', async (_name, text) => {
    await using directory = await assets();
    await writeFile(join(assetPaths(directory.path).templates, 'base.json'), text);
    await expect(findTemplate(directory.path, 'base')).rejects.toMatchObject({
      code: 'internal',
      message: "the record of template 'base' cannot be read",
      suggestion: 'Build it again: `dormouse template build base`.',
    });
  });

  test('lead to the image', () => {
    expect(imagePath('/assets', BASE.imageId)).toBe('/assets/images/img0123456789abcdefghij/root.ext4');
  });
});

describe('the hash of a recipe', () => {
  test('is the same for the same recipe and another for any change', () => {
    expect(recipeHash({ ...RECIPE })).toBe(recipeHash(RECIPE));
    expect(recipeHash(RECIPE)).toMatch(/^[0-9a-f]{64}$/);
    const changes: readonly Partial<Recipe>[] = [
      { packages: ['bash', 'git'] },
      { run: ['true'] },
      { npm: ['npm@10'] },
      { suite: 'trixie' },
      { user: 'root' },
      { memoryMb: 513 },
      { diskMb: 8193 },
      { vcpus: 2 },
    ];
    const hashes = changes.map((change) => recipeHash({ ...RECIPE, ...change }));
    expect(new Set([...hashes, recipeHash(RECIPE)]).size).toBe(changes.length + 1);
  });
});
