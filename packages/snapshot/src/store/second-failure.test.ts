import { link, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { makeGeneration } from '../testing/generations.js';
import { temporaryDirectory } from '../testing/temporary-directory.js';
import type { DiskFormat } from './disk-backing.js';
import { type DurableFs, REAL_FS } from './durable-fs.js';
import { GenerationStore } from './generation-store.js';

const NOBODY = { roots: () => [], graceMs: -1 };

/** Layers that hold nothing but the path of what they lie on. */
const TEXT_FORMAT: DiskFormat = {
  backingPathOf: async (path) => (await readFile(path, 'utf8')) || undefined,
  isImage: (path, imageId) => path.endsWith(imageId),
  verifyImage: async () => {},
  restoreName: async (path, layerPath) => {
    if (!path.includes('layers-')) return false;
    await link(layerPath, path);
    return true;
  },
};

describe('hazard 5: a commit whose rename has succeeded', () => {
  test('succeeds although its stamp cannot be written', async () => {
    await using directory = await temporaryDirectory();
    await writeFile(join(directory.path, '.stamps'), 'in the way');
    const store = await GenerationStore.open(directory.path);
    const { id } = await makeGeneration(store, [1, 2]);
    expect((await store.verify(id)).id).toBe(id);
    await rm(join(directory.path, '.stamps'));
  });

  test.each([
    [2, []],
    [Number.POSITIVE_INFINITY, ['EIO: i/o error, fsync']],
  ])('succeeds although syncing the store fails %d times', async (failures, problems) => {
    await using directory = await temporaryDirectory();
    let left = failures;
    const fs: DurableFs = {
      ...REAL_FS,
      syncDirectory: async (path) => {
        if (path === directory.path && left-- > 0) throw new Error('EIO: i/o error, fsync');
        await REAL_FS.syncDirectory(path);
      },
    };
    const seen: unknown[] = [];
    const onProblem = (error: unknown): unknown => seen.push((error as Error).message);
    const store = await GenerationStore.open(directory.path, { fs, onProblem });
    const { id } = await makeGeneration(store, [1, 2]);
    expect(await store.list()).toEqual([id]);
    expect(seen).toEqual(problems);
  });

  test('that fails before its rename leaves no generation', async () => {
    await using directory = await temporaryDirectory();
    const fs: DurableFs = {
      ...REAL_FS,
      rename: (from, to) => (to.includes('gn') ? Promise.reject(new Error('EIO')) : REAL_FS.rename(from, to)),
    };
    const store = await GenerationStore.open(directory.path, { fs });
    await expect(makeGeneration(store, [1, 2])).rejects.toMatchObject({ code: 'internal' });
    expect(await store.list()).toEqual([]);
  });
});

test('hazard 19: a commit keeps all that its generation needs, also what it was not begun with', async () => {
  await using directory = await temporaryDirectory();
  const store = await GenerationStore.open(directory.path);
  const { id: lower } = await makeGeneration(store, [1, 2]);
  const collected: (readonly string[])[] = [];
  const { id } = await makeGeneration(store, [1, 3], {
    diskBacking: { kind: 'generation', id: lower },
    onStep: async (step) => {
      if (step === 'artifacts-hashed' || step === 'files-synced') {
        collected.push((await store.collect(NOBODY)).removed);
      }
    },
    onCommitted: async () => {
      collected.push((await store.collect(NOBODY)).removed);
    },
  });
  expect(collected).toEqual([[], [], []]);
  expect((await store.verify(id)).diskBacking).toEqual({ kind: 'generation', id: lower });
});

describe('a stamp', () => {
  test('still holds when another name of the layer goes, as after every pause', async () => {
    await using directory = await temporaryDirectory();
    const store = await GenerationStore.open(directory.path);
    const layer = join(directory.path, '.layer');
    await writeFile(layer, 'a layer');
    await using draft = await store.begin();
    await draft.adopt('disk.qcow2', layer);
    const { id } = await draft.commit({ kind: 'disk', machine: {} });
    const stamp = join(directory.path, '.stamps', id);
    const before = await stat(stamp);
    await rm(layer);
    await store.verify(id);
    // A layer that is hashed gets a new stamp.
    expect((await stat(stamp)).ino).toBe(before.ino);
  });

  test('is written by many verifications at once, which all succeed', async () => {
    await using directory = await temporaryDirectory();
    const store = await GenerationStore.open(directory.path);
    const { id } = await makeGeneration(store, [1, 2]);
    for (let round = 0; round < 20; round++) {
      await rm(join(directory.path, '.stamps', id), { force: true });
      const other = await GenerationStore.open(directory.path);
      const results = await Promise.all([
        store.verify(id),
        store.verify(id, { diskOnly: true }),
        other.verify(id),
      ]);
      expect(results.map((manifest) => manifest.id)).toEqual([id, id, id]);
    }
  });
});

describe('hazard 6: a layer whose header names another disk than its manifest', () => {
  async function makeDisk(store: GenerationStore, header: string, lowerId?: string): Promise<string> {
    await using draft = await store.begin();
    await draft.write('disk.qcow2', Buffer.from(header));
    const diskBacking =
      lowerId === undefined ? {} : { diskBacking: { kind: 'generation', id: lowerId } as const };
    return (await draft.commit({ kind: 'disk', machine: {}, ...diskBacking })).id;
  }

  test('is not committed', async () => {
    await using directory = await temporaryDirectory();
    const store = await GenerationStore.open(directory.path, { format: TEXT_FORMAT });
    const lower = await makeDisk(store, '');
    const other = await makeDisk(store, '');
    const [right, wrong] = [lower, other].map((id) => store.path(id, 'disk.qcow2'));
    expect(await makeDisk(store, right!, lower)).toMatch(/^gn/);
    await expect(makeDisk(store, wrong!, lower)).rejects.toMatchObject({
      code: 'snapshot_corrupt',
      message: expect.stringContaining(`lies on ${wrong}, which is not the disk of generation ${lower}`),
    });
    await expect(makeDisk(store, '', lower)).rejects.toMatchObject({ code: 'snapshot_corrupt' });
    await expect(makeDisk(store, right!)).rejects.toMatchObject({ code: 'snapshot_corrupt' });
  });

  test('is found by a verification, which puts back a missing name of the right disk', async () => {
    await using directory = await temporaryDirectory();
    const store = await GenerationStore.open(directory.path, { format: TEXT_FORMAT });
    const lower = await makeDisk(store, '');
    const name = join(directory.path, '.layers-1');
    await link(store.path(lower, 'disk.qcow2'), name);
    const id = await makeDisk(store, name, lower);
    await rm(name);
    await store.verify(id, { diskOnly: true });
    expect((await stat(name)).ino).toBe((await stat(store.path(lower, 'disk.qcow2'))).ino);
    await rm(name);
    await writeFile(name, '');
    await expect(store.verify(id, { diskOnly: true })).rejects.toMatchObject({
      code: 'snapshot_corrupt',
      message: `disk.qcow2 of generation ${id} lies on ${name}, which is not the disk of generation ${lower}`,
    });
  });
});
