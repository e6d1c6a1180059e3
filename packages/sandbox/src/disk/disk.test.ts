import { chmod, link, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GenerationStore } from '@dormouse/snapshot';
import { expect, test } from 'vitest';
import { generationsDir, type HostConfig, layersDir } from '../config/host-config.js';
import { temporaryDirectory } from '../testing/temporary-directory.js';
import { DiskLayers } from './disk.js';

const IMAGE = 'img0123456789abcdefghij';
const LAYER = `ly${'a'.repeat(32)}`;
const OTHER = `ly${'b'.repeat(32)}`;

async function layersIn(root: string) {
  const config: HostConfig = {
    dataDir: root,
    assetsDir: root,
    memoryDir: root,
    agentPath: '/nonexistent',
    accelerator: 'tcg',
  };
  const store = await GenerationStore.open(generationsDir(config));
  await mkdir(layersDir(config), { recursive: true });
  return { config, store, layers: new DiskLayers(config, store) };
}

test('a disk lies on an image of the host, or on the disk of a generation', async () => {
  await using dir = await temporaryDirectory();
  const { store, layers } = await layersIn(dir.path);
  expect(layers.basePath({ kind: 'image', id: IMAGE })).toBe(join(dir.path, 'images', IMAGE, 'root.ext4'));
  expect(layers.basePath({ kind: 'generation', id: 'gn1' })).toBe(join(store.root, 'gn1', 'disk.qcow2'));
});

test('hazard 14: a path that a VMM reports is a layer only when it is one of this host', async () => {
  await using dir = await temporaryDirectory();
  const { layers } = await layersIn(dir.path);
  expect(layers.layerAt(layers.path(LAYER))).toBe(LAYER);
  for (const path of ['', '/etc/passwd', `/elsewhere/${LAYER}.qcow2`, layers.path('../../etc/passwd')]) {
    expect([path, layers.layerAt(path)]).toEqual([path, undefined]);
  }
});

test('the topmost layer is given to the VM that writes to it, the others are not', async () => {
  await using dir = await temporaryDirectory();
  const { layers } = await layersIn(dir.path);
  for (const layer of [LAYER, OTHER]) {
    await writeFile(layers.path(layer), '');
    await chmod(layers.path(layer), 0o444);
  }
  await layers.own({ layers: [LAYER, OTHER], base: { kind: 'image', id: IMAGE } }, undefined);
  const modes = await Promise.all(
    [LAYER, OTHER].map(async (layer) => (await stat(layers.path(layer))).mode & 0o777),
  );
  expect(modes).toEqual([0o600, 0o444]);
});

test('hazards 5 and 19: a sweep removes a layer only when nobody has it under any name', async () => {
  await using dir = await temporaryDirectory();
  const { config, layers } = await layersIn(dir.path);
  const [used, shared, nobodys] = [LAYER, OTHER, `ly${'c'.repeat(32)}`];
  for (const layer of [used, shared, nobodys]) await writeFile(layers.path(layer), '');
  await link(layers.path(shared), join(dir.path, 'disk.qcow2'));
  await layers.sweep(() => new Set([used]));
  expect(await readdir(layersDir(config))).toEqual([`${used}.qcow2`, `${shared}.qcow2`]);
  await layers.remove(used);
  await layers.remove(used);
  expect(await readdir(layersDir(config))).toEqual([`${shared}.qcow2`]);
});

test('hazard 5: a layer that is written down while a sweep looks at what there is stays', async () => {
  await using dir = await temporaryDirectory();
  const { config, layers } = await layersIn(dir.path);
  const base = { kind: 'image', id: IMAGE } as const;
  const made = Array.from({ length: 20 }, () => layers.newId());
  for (const layer of made) await writeFile(layers.path(layer), '');
  const journals = new Set<string>();
  const swept = layers.sweep(() => journals);
  for (const layer of made) {
    journals.add(layer);
    layers.recorded({ layers: [layer], base });
    await stat(layers.path(layer));
  }
  await swept;
  expect((await readdir(layersDir(config))).length).toBe(made.length);
});
