import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryDirectory } from '../testing/temporary-directory.js';
import { FrozenTemplates } from './frozen-templates.js';

const IMAGE = 'img0123456789abcdefghij';
const FACTS = { kernel: '6.1.0', memoryMb: 512 };

test('a frozen template is found again by image and machine, whatever the order of its facts', async () => {
  await using dir = await temporaryDirectory();
  await (await FrozenTemplates.open(dir.path)).put('base', IMAGE, FACTS, 'gn1');
  const frozen = await FrozenTemplates.open(dir.path);
  expect(frozen.find('base', IMAGE, { memoryMb: 512, kernel: '6.1.0' })).toBe('gn1');
  expect(frozen.generations()).toEqual(['gn1']);
});

test.each([
  ['template', 'other', IMAGE, FACTS],
  ['image', 'base', 'img9876543210abcdefghij', FACTS],
  ['kernel', 'base', IMAGE, { ...FACTS, kernel: '6.1.1' }],
  ['size', 'base', IMAGE, { ...FACTS, memoryMb: 256 }],
])('hazard 20: another %s is another moment', async (_what, template, image, facts) => {
  await using dir = await temporaryDirectory();
  const frozen = await FrozenTemplates.open(dir.path);
  await frozen.put('base', IMAGE, FACTS, 'gn1');
  expect(frozen.find(template, image, facts)).toBeUndefined();
});

test('a newer moment takes the place of the old one, which nothing keeps any more', async () => {
  await using dir = await temporaryDirectory();
  const frozen = await FrozenTemplates.open(dir.path);
  await frozen.put('base', IMAGE, FACTS, 'gn1');
  await frozen.put('base', IMAGE, { ...FACTS, kernel: '6.1.1' }, 'gn2');
  expect(frozen.generations()).toEqual(['gn2']);
  expect(frozen.find('base', IMAGE, FACTS)).toBeUndefined();
});

test('a record that cannot be read is removed: the template is frozen again', async () => {
  await using dir = await temporaryDirectory();
  await writeFile(join(dir.path, 'base.json'), 'no record');
  const frozen = await FrozenTemplates.open(dir.path);
  expect(frozen.generations()).toEqual([]);
  expect(await readdir(dir.path)).toEqual([]);
});
