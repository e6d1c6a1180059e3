import { link, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GenerationStore, type Manifest } from '@dormouse/snapshot';
import { describe, expect, test } from 'vitest';
import { generationsDir, type HostConfig, layersDir } from '../config/host-config.js';
import { DiskLayers } from '../disk/disk.js';
import { freezing, paused } from '../records/journal.js';
import { runningOf, sandboxId } from '../testing/journals.js';
import { temporaryDirectory } from '../testing/temporary-directory.js';
import { Collector, imagesOf, rootsOf } from './collector.js';

const LAYERS = ['a', 'b', 'c'].map((digit) => `ly${digit.repeat(32)}`) as [string, string, string];

test('hazard 5: everything that a sandbox can go back to, or is going to, is a root', () => {
  const journals = [
    freezing(
      runningOf(sandboxId('a'), {
        memoryBase: 'gn1',
        disk: { layers: LAYERS, base: { kind: 'generation', id: 'gn3' } },
      }),
      'gn2',
      undefined,
    ),
    paused(runningOf(sandboxId('b')), { generationId: 'gn4', kind: 'full', atMs: 1 }),
    runningOf(sandboxId('c'), { disk: { layers: LAYERS, base: { kind: 'image', id: 'img1' } } }),
  ];
  expect([...rootsOf({ journals, generations: ['gn5'], specs: [] })].toSorted()).toEqual([
    'gn1',
    'gn2',
    'gn3',
    'gn4',
    'gn5',
  ]);
});

test('hazard 5: every image that a disk lies on, or is going to, is used', async () => {
  await using dir = await temporaryDirectory();
  const store = await GenerationStore.open(dir.path);
  await using draft = await store.begin();
  await draft.write('disk.qcow2', Buffer.from('disk'));
  const diskBacking = { kind: 'image', id: 'img1' } as const;
  const manifest = await draft.commit({ kind: 'disk', diskBacking, machine: { vmm: 'none' } });
  const first = runningOf(sandboxId('a'));
  const second = paused(runningOf(sandboxId('b')), { generationId: 'gn1', kind: 'full', atMs: 1 });
  const disk = { layers: LAYERS, base: { kind: 'image', id: 'img2' } } as const;
  const journals = [
    { ...first, disk, spec: { ...first.spec, imageId: 'img3' } },
    { ...second, spec: { ...second.spec, imageId: 'img4' } },
  ];
  const specs = [{ ...first.spec, imageId: 'img5' }];
  const used = imagesOf({ journals, generations: [], specs }, [manifest, manifestOnItself(manifest)]);
  expect([...used].toSorted()).toEqual(['img1', 'img2', 'img3', 'img4', 'img5']);
});

/** One whose disk lies on a generation's. */
function manifestOnItself(manifest: Manifest): Manifest {
  return { ...manifest, diskBacking: { kind: 'generation', id: manifest.id } };
}

/** A generation with a disk of its own. */
async function makeGeneration(store: GenerationStore): Promise<string> {
  await using draft = await store.begin();
  await draft.write('disk.qcow2', Buffer.from('disk'));
  return (await draft.commit({ kind: 'disk', machine: { vmm: 'none' } })).id;
}

describe('a collection', () => {
  async function place(root: string) {
    const config: HostConfig = {
      dataDir: root,
      assetsDir: root,
      memoryDir: root,
      agentPath: '/nonexistent',
      accelerator: 'tcg',
    };
    const store = await GenerationStore.open(generationsDir(config));
    const layers = new DiskLayers(config, store);
    await mkdir(layersDir(config), { recursive: true });
    const told: string[] = [];
    const tell = (_fields: unknown, message: string): void => void told.push(message);
    return {
      config,
      store,
      layers,
      told,
      collector: new Collector(config, store, layers, { info: tell, warn: tell }),
    };
  }

  test('hazard 19: removes generations nobody refers to, and layers nobody has', async () => {
    await using dir = await temporaryDirectory();
    const { config, store, layers, told, collector } = await place(dir.path);
    const [kept, gone] = [await makeGeneration(store), await makeGeneration(store)];
    for (const layer of LAYERS) await writeFile(layers.path(layer), 'layer');
    await link(layers.path(LAYERS[1]), join(dir.path, 'second-name'));
    const disk = { layers: [LAYERS[0]], base: { kind: 'image', id: 'img1' } } as const;
    const journals = [runningOf(sandboxId('a'), { disk, memoryBase: kept })];
    await collector.collect(() => ({ journals, generations: [], specs: [] }), -1);
    expect(await store.list()).toEqual([kept]);
    expect(gone).not.toBe(kept);
    // The first is a sandbox's, the second has a name in a generation.
    expect(await readdir(layersDir(config))).toEqual([`${LAYERS[0]}.qcow2`, `${LAYERS[1]}.qcow2`]);
    expect(told).toEqual(['removed generations nobody needs']);
  });

  test('hazard 5: leaves alone what is younger than the grace period', async () => {
    await using dir = await temporaryDirectory();
    const { store, collector, told } = await place(dir.path);
    const young = await makeGeneration(store);
    await collector.collect(() => ({ journals: [], generations: [], specs: [] }));
    expect(await store.list()).toEqual([young]);
    expect(told).toEqual([]);
  });

  test('looks at who needs what when its turn comes, not when it was asked for', async () => {
    await using dir = await temporaryDirectory();
    const { store, collector } = await place(dir.path);
    const id = await makeGeneration(store);
    const first = collector.collect(() => ({ journals: [], generations: [id], specs: [] }), -1);
    const second = collector.collect(() => ({ journals: [], generations: [], specs: [] }), -1);
    await first;
    expect(await store.list()).toEqual([id]);
    await second;
    expect(await store.list()).toEqual([]);
  });
});
