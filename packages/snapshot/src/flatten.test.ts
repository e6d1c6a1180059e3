import { readdir, readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DEFAULT_MAX_SOURCES, flatten, isLongChain } from './flatten.js';
import { GenerationStore } from './store/generation-store.js';
import { openMemory, readWorkingSet } from './store/read-generation.js';
import { flipBit } from './testing/damage.js';
import { makeGeneration } from './testing/generations.js';
import { type Contents, readContents } from './testing/guest-memory.js';
import { temporaryDirectory } from './testing/temporary-directory.js';

function contentsOf(store: GenerationStore, id: string): number[] {
  using memory = openMemory(store, id);
  return readContents(memory);
}

async function chain(store: GenerationStore, guests: readonly Contents[]): Promise<string[]> {
  const ids: string[] = [];
  for (const contents of guests) {
    const parent = ids.at(-1);
    const { id } = await makeGeneration(store, contents, {
      framePages: 4,
      workingSet: [5, 2],
      ...(parent === undefined ? {} : { parent }),
    });
    ids.push(id);
  }
  return ids;
}

describe('flattening', () => {
  test('hazard 1: keeps every page as it was, zeroed ones too, and needs only what is to be kept', async () => {
    const guest = fc.array(fc.nat({ max: 3 }), { minLength: 24, maxLength: 24 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(guest, { minLength: 1, maxLength: 5 }),
        fc.boolean(),
        fc.boolean(),
        async (guests, keepFirst, compress) => {
          await using directory = await temporaryDirectory();
          const store = await GenerationStore.open(directory.path);
          const ids = await chain(store, guests);
          const last = ids.at(-1)!;
          const keep = keepFirst ? [ids[0]!] : [];
          const flat = await flatten(store, last, { keep, compress });
          expect(flat.memory!.sources.every((source) => keep.includes(source))).toBe(true);
          expect(flat.parent).toBe(last);
          // The old ones can go: what is left must not miss them.
          const { removed } = await store.collect({ roots: () => [flat.id], graceMs: -1 });
          expect(removed.length).toBe(guests.length - flat.memory!.sources.length);
          expect(contentsOf(store, flat.id)).toEqual(guests.at(-1));
          expect(await store.verify(flat.id, { deep: true })).toEqual(flat);
        },
      ),
      { numRuns: 30 },
    );
  });

  test('hazard 2: twenty generations in a row, flattened and collected as they grow, each hold what the guest held', async () => {
    await using directory = await temporaryDirectory();
    const store = await GenerationStore.open(directory.path);
    const guest = Array.from({ length: 200 }, (_, page) => (page < 120 ? page + 1 : 0));
    const template = (await makeGeneration(store, guest)).id;
    let current = template;
    let flattened = 0;
    for (let cycle = 1; cycle <= 20; cycle++) {
      for (let change = 0; change < 15; change++) {
        const page = (cycle * 61 + change * change * 17) % guest.length;
        guest[page] = (cycle + change) % 4 === 0 ? 0 : cycle * 1000 + change;
      }
      let manifest = await makeGeneration(store, guest, { parent: current });
      if (isLongChain(manifest, 5)) {
        manifest = await flatten(store, manifest.id, { keep: [template] });
        flattened += 1;
      }
      current = manifest.id;
      await store.collect({ roots: () => [current, template], graceMs: -1 });
      expect(contentsOf(store, current)).toEqual(guest);
      expect((await store.list()).length).toBe(
        new Set([current, template, ...manifest.memory!.sources]).size,
      );
    }
    expect(flattened).toBeGreaterThan(2);
    await store.verify(current, { deep: true });
  });

  test('takes device state, disk, machine and working set along, and counts what it holds', async () => {
    await using directory = await temporaryDirectory();
    const store = await GenerationStore.open(directory.path);
    const [first, second] = await chain(store, [
      [1, 2, 3, 4, 5, 6, 0, 0],
      [1, 2, 0, 9, 9, 6, 0, 7],
    ]);
    const flat = await flatten(store, second!, { keep: [first!] });
    expect(flat.memory).toEqual({
      pageCount: 8,
      counts: { unchanged: 3, changed: 3, zeroed: 0, zero: 2 },
      sources: [first],
    });
    expect(flat.machine).toEqual(store.read(second!).machine);
    for (const name of ['device.bin', 'disk.qcow2']) {
      expect(await readFile(store.path(flat.id, name))).toEqual(await readFile(store.path(second!, name)));
    }
    expect(readWorkingSet(store, flat.id, 8)).toEqual({ pages: [5, 2], problem: undefined });
  });

  test('of a chain that is damaged fails and leaves nothing', async () => {
    await using directory = await temporaryDirectory();
    const store = await GenerationStore.open(directory.path);
    const [first, second] = await chain(store, [
      [1, 2, 3, 4, 5, 6],
      [1, 2, 0, 9, 9, 6],
    ]);
    await flipBit(store.path(first!, 'memory.pages'), 100);
    await expect(flatten(store, second!)).rejects.toMatchObject({
      code: 'snapshot_corrupt',
      message: `memory.pages of generation ${first} has a frame that does not match its checksum (frame 0)`,
    });
    expect(await store.list()).toEqual([first, second].toSorted());
  });

  test('can be cancelled and then leaves nothing', async () => {
    await using directory = await temporaryDirectory();
    const store = await GenerationStore.open(directory.path);
    const contents = Array.from({ length: 600 }, (_, page) => page + 1);
    const { id } = await makeGeneration(store, contents);
    await expect(flatten(store, id, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'cancelled',
    });
    expect(await readdir(directory.path)).toEqual(['.stamps', id]);
  });

  test('is due when a chain has more sources than it should', async () => {
    await using directory = await temporaryDirectory();
    const store = await GenerationStore.open(directory.path);
    const guests = Array.from({ length: DEFAULT_MAX_SOURCES + 1 }, (_, last) =>
      Array.from({ length: 12 }, (_, page) => (page <= last ? page + 1 : 0)),
    );
    const ids = await chain(store, guests);
    expect(ids.map((id) => isLongChain(store.read(id)))).toEqual([...Array(8).fill(false), true]);
    expect(isLongChain(store.read((await flatten(store, ids.at(-1)!)).id))).toBe(false);
  });
});
