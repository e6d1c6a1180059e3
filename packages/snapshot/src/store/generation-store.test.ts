import {
  link,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { flatten } from '../flatten.js';
import { newGenerationId } from '../generation-id.js';
import { flipBit } from '../testing/damage.js';
import { DroppedWritesFs } from '../testing/dropped-writes-fs.js';
import { MACHINE, makeGeneration } from '../testing/generations.js';
import { readContents } from '../testing/guest-memory.js';
import { temporaryDirectory } from '../testing/temporary-directory.js';
import { GenerationStore } from './generation-store.js';
import { ARTIFACTS } from './manifest.js';
import { openMemory, readWorkingSet } from './read-generation.js';

const NOW = Date.parse('2026-01-02T03:04:05.678Z');

async function openStore(path: string): Promise<GenerationStore> {
  return GenerationStore.open(path, { now: () => NOW });
}

describe('a committed generation', () => {
  test('says what it is, is found by its id, and its files are for whom they should be', async () => {
    await using directory = await temporaryDirectory();
    const store = await openStore(join(directory.path, 'generations'));
    const manifest = await makeGeneration(store, [1, 0, 2], { diskBacking: { kind: 'image', id: 'img1' } });
    const { id } = manifest;
    expect(id).toMatch(/^gn[a-z0-9]{26}$/);
    expect(manifest).toEqual({
      version: 1,
      id,
      createdAt: '2026-01-02T03:04:05.678Z',
      kind: 'full',
      parent: null,
      diskBacking: { kind: 'image', id: 'img1' },
      machine: MACHINE,
      memory: { pageCount: 3, counts: { unchanged: 0, changed: 2, zeroed: 0, zero: 1 }, sources: [] },
      artifacts: manifest.artifacts,
      ownBytes: manifest.ownBytes,
    });
    expect(await store.list()).toEqual([id]);
    expect(store.read(id)).toEqual(manifest);
    expect(await store.verify(id)).toEqual(manifest);
    const modes = await Promise.all(
      ['', 'manifest.json', ...ARTIFACTS].map(
        async (name) => (await stat(store.path(id, name))).mode & 0o777,
      ),
    );
    expect(modes).toEqual([0o711, 0o600, 0o600, 0o600, 0o600, 0o444]);
    expect((await stat(store.root)).mode & 0o777).toBe(0o711);
    const sizes = await Promise.all(ARTIFACTS.map(async (name) => (await stat(store.path(id, name))).size));
    expect(ARTIFACTS.map((name) => manifest.artifacts[name]!.bytes)).toEqual(sizes);
    expect(manifest.ownBytes).toBe(sizes.reduce((sum, size) => sum + size, 0));
  });

  test('can be of the disk alone', async () => {
    await using directory = await temporaryDirectory();
    const store = await openStore(join(directory.path, 'generations'));
    await writeFile(join(directory.path, 'layer'), 'a layer');
    await using draft = await store.begin();
    await draft.adopt('disk.qcow2', join(directory.path, 'layer'));
    const manifest = await draft.commit({ kind: 'disk', machine: {} });
    expect([manifest.kind, manifest.memory, manifest.ownBytes]).toEqual(['disk', null, 7]);
    expect(await store.verify(manifest.id, { deep: true })).toEqual(manifest);
    expect((await stat(join(directory.path, 'layer'))).nlink).toBe(2);
    expect(() => openMemory(store, manifest.id)).toThrow(
      `generation ${manifest.id} has no memory, only a disk`,
    );
  });

  test('that does not exist is not found, whatever is asked for', async () => {
    await using directory = await temporaryDirectory();
    const store = await openStore(directory.path);
    const id = newGenerationId();
    const notFound = { code: 'not_found', message: `generation ${id} does not exist` };
    expect(() => store.read(id)).toThrow(expect.objectContaining(notFound));
    expect(() => openMemory(store, id)).toThrow(expect.objectContaining(notFound));
    expect(() => store.pin(id)).toThrow(expect.objectContaining(notFound));
    expect(() => store.sizes(id)).toThrow(expect.objectContaining(notFound));
    await expect(store.begin([id])).rejects.toMatchObject(notFound);
    await expect(store.replaceWorkingSet(id, [1])).rejects.toMatchObject(notFound);
    await expect(store.verify('../x')).rejects.toMatchObject({
      code: 'not_found',
      message: '"../x" is no generation',
    });
  });
});

describe('a draft', () => {
  test('hazard 4: is synced file by file, then as a directory, before it gets its name, and the store after', async () => {
    await using directory = await temporaryDirectory();
    const root = join(directory.path, 'generations');
    const fs = new DroppedWritesFs(root);
    const store = await GenerationStore.open(root, { fs });
    const { id } = await makeGeneration(store, [1, 2]);
    const draft = fs.calls[0]!.split(/[ /]/)[1]!;
    expect(draft).toMatch(new RegExp(`^\\.tmp-${id}-${process.pid}-`));
    const synced = fs.calls.slice(3, 8).toSorted();
    expect([...fs.calls.slice(0, 3), ...synced, ...fs.calls.slice(8)]).toEqual([
      `write ${draft}/device.bin`,
      `write ${draft}/disk.qcow2`,
      `write ${draft}/manifest.json`,
      ...['device.bin', 'disk.qcow2', 'manifest.json', 'memory.map', 'memory.pages'].map(
        (name) => `sync file ${draft}/${name}`,
      ),
      `sync directory ${draft}`,
      `rename ${id}`,
      'sync directory .',
    ]);
  });

  test('hazard 4: after a power cut at any step that drops all unsynced writes is a whole generation or none', async () => {
    const steps = [
      'artifacts-hashed',
      'manifest-written',
      'files-synced',
      'directory-synced',
      'renamed',
      'committed',
    ] as const;
    for (const cutAt of steps) {
      await using directory = await temporaryDirectory();
      const root = join(directory.path, 'generations');
      const fs = new DroppedWritesFs(root);
      const store = await GenerationStore.open(root, { fs });
      const { id: old } = await makeGeneration(store, [1, 2, 3]);
      fs.settle();
      const cut = join(directory.path, 'after-the-cut');
      const { id } = await makeGeneration(store, [1, 5, 3], {
        parent: old,
        onStep: (step) => {
          if (step === cutAt) fs.writeSurvivors(cut);
        },
      });
      const survivor = await GenerationStore.open(cut);
      expect(await survivor.list()).toEqual(cutAt === 'committed' ? [old, id].toSorted() : [old]);
      expect((await readdir(cut)).filter((name) => name.startsWith('.tmp-'))).toEqual([]);
      for (const present of await survivor.list()) await survivor.verify(present, { deep: true });
      // A rename may also become durable by itself, before anybody asks for it: then the generation is whole, too.
      if (cutAt === 'renamed') {
        await rm(cut, { recursive: true });
        const directorySynced = new DroppedWritesFs(root);
        directorySynced.settle();
        directorySynced.writeSurvivors(cut);
        await (await GenerationStore.open(cut)).verify(id, { deep: true });
      }
    }
  });

  test('hazard 5: whose commit fails leaves everything else, and nothing of itself', async () => {
    for (const failAt of [
      'artifacts-hashed',
      'manifest-written',
      'files-synced',
      'directory-synced',
    ] as const) {
      await using directory = await temporaryDirectory();
      const store = await openStore(directory.path);
      const { id } = await makeGeneration(store, [1, 2, 3]);
      const failing = makeGeneration(store, [1, 2, 4], {
        parent: id,
        onStep: (step) => {
          if (step === failAt) throw Object.assign(new Error('no room'), { code: 'ENOSPC' });
        },
      });
      await expect(failing).rejects.toMatchObject({ code: 'no_space' });
      expect(await readdir(directory.path)).toEqual(['.stamps', id]);
      await store.verify(id, { deep: true });
      // What the draft had pinned is free again.
      expect((await store.collect({ roots: () => [], graceMs: -1 })).removed).toEqual([id]);
    }
  });

  test('without an artifact, or with a file nobody knows, is not committed', async () => {
    await using directory = await temporaryDirectory();
    const store = await openStore(join(directory.path, 'generations'));
    await using draft = await store.begin();
    const commit = () => draft.commit({ kind: 'disk', machine: {} });
    await expect(commit()).rejects.toMatchObject({
      code: 'invalid_state',
      message: `draft ${draft.id} cannot be committed: disk.qcow2 is missing`,
    });
    await draft.write('disk.qcow2', Buffer.from('x'));
    await writeFile(join(draft.directory, 'stray'), '');
    await expect(commit()).rejects.toThrow('cannot be committed: stray does not belong to it');
    await rm(join(draft.directory, 'stray'));
    await commit();
    await expect(commit()).rejects.toMatchObject({ code: 'invalid_state' });
    await draft.abandon();
    expect(await store.list()).toEqual([draft.id]);
  });

  test('that needs a generation which is gone is not committed', async () => {
    await using directory = await temporaryDirectory();
    const store = await openStore(directory.path);
    await using draft = await store.begin();
    await draft.write('disk.qcow2', Buffer.from('x'));
    const gone = newGenerationId();
    await expect(
      draft.commit({ kind: 'disk', machine: {}, diskBacking: { kind: 'generation', id: gone } }),
    ).rejects.toMatchObject({
      code: 'invalid_state',
      message: `draft ${draft.id} cannot be committed: generation ${gone}, which it needs, does not exist`,
    });
  });

  test('hazard 16: of a process that is dead goes when the store is opened, one of a living process stays', async () => {
    await using directory = await temporaryDirectory();
    const store = await openStore(directory.path);
    await using draft = await store.begin();
    const name = draft.directory.slice(directory.path.length + 1);
    const [, id, pid, ticks, boot] = /^\.tmp-(gn\w+)-(\d+)-(\d+)-(\w+)$/.exec(name)!;
    const dead = [
      `.tmp-${id}-4194305-1-${boot}`,
      `.tmp-${id}-${pid}-${Number(ticks) + 1}-${boot}`,
      `.tmp-${id}-${pid}-${ticks}-${boot === '00000000' ? '11111111' : '00000000'}`,
      '.tmp-unknown',
      `.deleting-${id}`,
    ];
    for (const leftover of dead) {
      await mkdir(join(directory.path, leftover));
      await writeFile(join(directory.path, leftover, 'memory.pages'), 'x');
    }
    await openStore(directory.path);
    expect(await readdir(directory.path)).toEqual([name]);
  });
});

describe('hazard 6: a damaged generation', () => {
  test('with a bit flipped in any artifact, cut off, missing or exchanged is refused by name', async () => {
    await using directory = await temporaryDirectory();
    const store = await openStore(directory.path);
    const { id: parent } = await makeGeneration(store, [1, 2, 3, 4]);
    const { id } = await makeGeneration(store, [1, 9, 3, 4], { parent });
    for (const name of ['manifest.json', ...ARTIFACTS]) {
      const path = store.path(id, name);
      const intact = await readFile(path);
      const refused = async (how: string) => {
        await expect(store.verify(id, { deep: true }), `${name} ${how}`).rejects.toMatchObject({
          code: 'snapshot_corrupt',
          message: expect.stringContaining(`${name} of generation ${id} `),
        });
      };
      for (let offset = 0; offset < intact.length; offset += Math.ceil(intact.length / 50)) {
        await flipBit(path, offset);
        await refused(`flipped at ${offset}`);
        await flipBit(path, offset);
      }
      await truncate(path, intact.length - 1);
      await refused('cut off');
      await rename(path, `${path}.away`);
      await refused('missing');
      await rename(`${path}.away`, path);
      await rm(path);
      await link(store.path(parent, name), path);
      await refused('exchanged');
      await rm(path);
      await writeFile(path, intact);
    }
    await store.verify(id, { deep: true });
  });

  test('anywhere in its chain is refused by the name of the one that is damaged', async () => {
    await using directory = await temporaryDirectory();
    const store = await openStore(directory.path);
    const { id: grandparent } = await makeGeneration(store, [1, 2, 3, 4]);
    const diskBacking = { kind: 'generation', id: grandparent } as const;
    const { id: parent } = await makeGeneration(store, [1, 9, 3, 4], { parent: grandparent, diskBacking });
    const { id } = await makeGeneration(store, [1, 9, 8, 4], {
      parent,
      diskBacking: { kind: 'generation', id: parent },
    });
    await store.verify(id);
    await flipBit(store.path(grandparent, 'disk.qcow2'), 3);
    await expect(store.verify(id)).rejects.toThrow(
      `disk.qcow2 of generation ${grandparent} does not match its checksum`,
    );
    await flipBit(store.path(grandparent, 'disk.qcow2'), 3);
    await flipBit(store.path(parent, 'memory.pages'), 10);
    await store.verify(id);
    await expect(store.verify(id, { deep: true })).rejects.toThrow(
      `memory.pages of generation ${parent} has a frame that does not match its checksum (frame 0)`,
    );
    using memory = openMemory(store, id);
    expect(() => readContents(memory)).toThrow(`memory.pages of generation ${parent} has a frame`);
    await rm(store.path(grandparent, ''), { recursive: true });
    await expect(store.verify(id)).rejects.toThrow(
      `generation ${grandparent} is missing, which generation ${id} needs`,
    );
  });

  test('whose disk layer was written to is hashed again, whatever its time says', async () => {
    await using directory = await temporaryDirectory();
    const store = await openStore(directory.path);
    const { id } = await makeGeneration(store, [1]);
    const path = store.path(id, 'disk.qcow2');
    const { atime, mtime } = await stat(path);
    await store.verify(id);
    await flipBit(path, 0);
    await utimes(path, atime, mtime);
    await expect(store.verify(id)).rejects.toThrow(
      `disk.qcow2 of generation ${id} does not match its checksum`,
    );
  });
});

describe('a working set', () => {
  test('is replaced whole, by several at once too', async () => {
    await using directory = await temporaryDirectory();
    const store = await openStore(directory.path);
    const { id } = await makeGeneration(store, [1, 2, 3], { workingSet: [2, 0] });
    expect(readWorkingSet(store, id, 3)).toEqual({ pages: [2, 0], problem: undefined });
    await Promise.all([[0], [1], [2, 1, 0]].map((pages) => store.replaceWorkingSet(id, pages)));
    expect([[0], [1], [2, 1, 0]]).toContainEqual(readWorkingSet(store, id, 3).pages);
    expect(await readdir(directory.path)).toEqual(['.stamps', id]);
    await store.verify(id, { deep: true });
  });

  test('that is damaged is not used and reported; one that is missing is neither', async () => {
    await using directory = await temporaryDirectory();
    const store = await openStore(directory.path);
    const { id } = await makeGeneration(store, [1, 2, 3], { workingSet: [2, 0] });
    const path = store.path(id, 'working-set.bin');
    for (let offset = 0; offset < (await stat(path)).size; offset++) {
      await flipBit(path, offset);
      const { pages, problem } = readWorkingSet(store, id, 3);
      expect([pages, problem?.code]).toEqual([[], 'snapshot_corrupt']);
      await flipBit(path, offset);
    }
    expect(readWorkingSet(store, id, 2).problem?.message).toBe(
      `working-set.bin of generation ${id} names page 2 of a guest of 2 pages`,
    );
    await rm(path);
    expect(readWorkingSet(store, id, 3)).toEqual({ pages: [], problem: undefined });
  });
});

describe('collecting', () => {
  test('hazard 19: removes what nothing needs and never what something does, whoever needs it', async () => {
    const step = fc.record({
      parent: fc.option(fc.nat({ max: 9 }), { nil: undefined }),
      backing: fc.option(fc.nat({ max: 9 }), { nil: undefined }),
      contents: fc.array(fc.nat({ max: 3 }), { minLength: 4, maxLength: 4 }),
      root: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 8 }),
        fc.nat({ max: 9 }),
        async (steps, pinned) => {
          await using directory = await temporaryDirectory();
          const store = await openStore(directory.path);
          const ids: string[] = [];
          for (const { parent, backing, contents } of steps) {
            const at = (index: number | undefined) => (index === undefined ? undefined : ids[index]);
            const [parentId, backingId] = [at(parent), at(backing)];
            const { id } = await makeGeneration(store, contents, {
              ...(parentId === undefined ? {} : { parent: parentId }),
              ...(backingId === undefined ? {} : { diskBacking: { kind: 'generation', id: backingId } }),
            });
            ids.push(id);
          }
          const roots = ids.filter((_, index) => steps[index]!.root);
          const pin = ids[pinned] === undefined ? undefined : store.pin(ids[pinned]);
          const { removed, blocked, missing } = await store.collect({ roots: () => roots, graceMs: -1 });
          expect([blocked, missing]).toEqual([[], []]);
          expect([...removed, ...(await store.list())].toSorted()).toEqual(ids.toSorted());
          for (const id of await store.list()) await store.verify(id, { deep: true });
          for (const id of [...roots, ...(pin === undefined ? [] : [pin.id])]) {
            using memory = openMemory(store, id);
            expect(readContents(memory)).toEqual(steps[ids.indexOf(id)]!.contents);
          }
          pin?.[Symbol.dispose]();
          await store.collect({ roots: () => [], graceMs: -1 });
          expect(await readdir(directory.path)).toEqual(['.stamps']);
          expect(await readdir(join(directory.path, '.stamps'))).toEqual([]);
        },
      ),
      { numRuns: 25 },
    );
  });

  test('several times at once is the same as one after the other', async () => {
    await using directory = await temporaryDirectory();
    const store = await openStore(directory.path);
    const { id } = await makeGeneration(store, [1, 2]);
    const { id: other } = await makeGeneration(store, [1, 2]);
    const collect = (roots: string[]) => store.collect({ roots: () => roots, graceMs: -1 });
    const results = await Promise.all([collect([id]), collect([id]), collect([])]);
    expect(results.map(({ removed }) => removed)).toEqual([[other], [], [id]]);
  });

  test('leaves what is younger than the grace period, and all it needs', async () => {
    await using directory = await temporaryDirectory();
    let now = NOW;
    const store = await GenerationStore.open(directory.path, { now: () => now });
    const { id: parent } = await makeGeneration(store, [1, 2]);
    now += 60_000;
    const { id } = await makeGeneration(store, [1, 3], { parent });
    now += 30_000;
    const collect = async () => (await store.collect({ roots: () => [], graceMs: 60_000 })).removed;
    expect(await collect()).toEqual([]);
    now += 30_000;
    expect(await collect()).toEqual([id, parent]);
  });

  test('leaves what was just committed until its maker has written its name down', async () => {
    await using directory = await temporaryDirectory();
    const store = await openStore(directory.path);
    const { id: parent } = await makeGeneration(store, [1, 2]);
    const collect = async () => (await store.collect({ roots: () => [], graceMs: 0 })).removed;
    let meanwhile: readonly string[] | undefined;
    const short = await flatten(store, parent, {
      onCommitted: async () => {
        meanwhile = await collect();
      },
    });
    expect(meanwhile).toEqual([]);
    expect((await collect()).toSorted()).toEqual([parent, short.id].toSorted());
  });

  test('leaves what a draft refers to, and what is committed while it looks', async () => {
    await using directory = await temporaryDirectory();
    const store = await openStore(directory.path);
    const { id: parent } = await makeGeneration(store, [1, 2]);
    let made: string | undefined;
    const { removed } = await store.collect({
      roots: () => [],
      graceMs: 0,
      onStep: async (step) => {
        if (step !== 'manifests-read' || made !== undefined) return;
        made = (await makeGeneration(store, [1, 3], { parent })).id;
      },
    });
    // Both were made at this very moment of the test's clock, so with no grace at all both are old.
    expect(removed).toEqual([made, parent]);
    const { id: other } = await makeGeneration(store, [1, 2]);
    await using draft = await store.begin([other]);
    expect((await store.collect({ roots: () => [], graceMs: -1 })).removed).toEqual([]);
    await draft.abandon();
    expect((await store.collect({ roots: () => [], graceMs: -1 })).removed).toEqual([other]);
  });

  test('hazard 5: leaves what is committed and named while it looks, however little grace there is', async () => {
    await using directory = await temporaryDirectory();
    const store = await openStore(directory.path);
    const { id: unnamed } = await makeGeneration(store, [1, 2]);
    const named: string[] = [];
    const { removed } = await store.collect({
      roots: () => named,
      graceMs: -1,
      onStep: async (step) => {
        if (step === 'manifests-read' && named.length === 0)
          named.push((await makeGeneration(store, [1, 3])).id);
      },
    });
    expect(removed).toEqual([unnamed]);
    expect(await store.list()).toEqual(named);
  });

  test('hazard 5: removes nothing while nobody can say what something in use needs', async () => {
    await using directory = await temporaryDirectory();
    const store = await openStore(directory.path);
    const { id: parent } = await makeGeneration(store, [1, 2]);
    const { id } = await makeGeneration(store, [1, 3], { parent });
    await flipBit(store.path(id, 'manifest.json'), 40);
    // With the real clock: what cannot be read is as old as its directory.
    const fresh = await GenerationStore.open(directory.path);
    const missing = newGenerationId();
    expect(await fresh.collect({ roots: () => [id, missing], graceMs: -1 })).toEqual({
      removed: [],
      missing: [missing],
      blocked: [id],
    });
    expect((await fresh.collect({ roots: () => [], graceMs: -1 })).removed.toSorted()).toEqual(
      [id, parent].toSorted(),
    );
  });

  test('can be asked how much room a generation takes, by itself and with what it needs', async () => {
    await using directory = await temporaryDirectory();
    const store = await openStore(directory.path);
    const first = await makeGeneration(store, [1, 2, 3]);
    const second = await makeGeneration(store, [1, 2, 4], {
      parent: first.id,
      diskBacking: { kind: 'generation', id: first.id },
    });
    expect(store.sizes(first.id)).toEqual({ ownBytes: first.ownBytes, totalBytes: first.ownBytes });
    expect(store.sizes(second.id)).toEqual({
      ownBytes: second.ownBytes,
      totalBytes: first.ownBytes + second.ownBytes,
    });
  });
});
