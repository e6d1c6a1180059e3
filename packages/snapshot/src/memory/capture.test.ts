import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PAGE_SIZE } from '../page.js';
import { GenerationStore } from '../store/generation-store.js';
import { openMemory } from '../store/read-generation.js';
import { makeGeneration } from '../testing/generations.js';
import { type Contents, pageOf, readContents, writeRam } from '../testing/guest-memory.js';
import { temporaryDirectory } from '../testing/temporary-directory.js';
import { captureMemory } from './capture.js';
import { dataRanges, pageRanges, parseListing } from './extents.js';

const MIB = 1024 * 1024;

function contentsOf(store: GenerationStore, id: string): number[] {
  using memory = openMemory(store, id);
  return readContents(memory);
}

/** Contents in runs, so that whole blocks and chunks are equal, zero or different. */
const guest = (pages: number): fc.Arbitrary<Contents> =>
  fc
    .array(fc.tuple(fc.nat({ max: 4 }), fc.integer({ min: 1, max: 60 })), { minLength: 1, maxLength: 30 })
    .map((runs) => {
      const contents = runs.flatMap(([content, length], index) =>
        Array.from({ length }, (_, page) =>
          content === 0 ? 0 : content + 10 * (index % 3) + (page % 5 === 4 ? 100 : 0),
        ),
      );
      return Array.from({ length: pages }, (_, page) => contents[page % contents.length]!);
    });

describe('capturing memory', () => {
  test('hazards 1 and 3: generation after generation holds exactly what the guest held, and stores only what changed', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(guest(300), { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        async (guests, compress) => {
          await using directory = await temporaryDirectory();
          const store = await GenerationStore.open(directory.path);
          const made: string[] = [];
          let before: Contents = Array.from({ length: 300 }, () => 0);
          for (const contents of guests) {
            const parent = made.at(-1);
            const { id, memory } = await makeGeneration(store, contents, {
              compress,
              framePages: 16,
              ...(parent === undefined ? {} : { parent }),
            });
            made.push(id);
            const pages = [...contents.keys()];
            expect(memory!.counts).toEqual({
              unchanged: pages.filter((page) => contents[page] !== 0 && contents[page] === before[page])
                .length,
              changed: pages.filter((page) => contents[page] !== 0 && contents[page] !== before[page]).length,
              zeroed: pages.filter((page) => contents[page] === 0 && before[page] !== 0).length,
              zero: pages.filter((page) => contents[page] === 0 && before[page] === 0).length,
            });
            before = contents;
          }
          for (const [index, id] of made.entries()) expect(contentsOf(store, id)).toEqual(guests[index]);
        },
      ),
      { numRuns: 30 },
    );
  });

  test('hazard 1: holes and pages of zeros alike zero what the parent had, wherever they lie', async () => {
    await using directory = await temporaryDirectory();
    const store = await GenerationStore.open(join(directory.path, 'store'));
    const full = Array.from({ length: 600 }, (_, page) => page + 1);
    const { id } = await makeGeneration(store, full);
    const ramPath = join(directory.path, 'ram');
    writeRam(
      ramPath,
      full.map((content, page) => (page === 0 || (page > 270 && page < 280) ? content : 0)),
    );
    using parent = openMemory(store, id);
    await using draft = await store.begin();
    const { map, counts, bytes } = captureMemory({
      ramPath,
      pageCount: 600,
      parent,
      into: draft.captureTarget,
      ranges: [
        { start: 0, count: 20 },
        { start: 268, count: 100 },
      ],
    });
    expect(counts).toEqual({ unchanged: 10, changed: 0, zeroed: 590, zero: 0 });
    expect([...map.populatedRanges()]).toEqual([
      { start: 0, count: 1 },
      { start: 271, count: 9 },
    ]);
    expect(map.sources).toEqual([id]);
    expect(bytes).toBeLessThan(1024);
  });

  test('hazard 6: a damaged page of the parent counts as changed and comes out right', async () => {
    await using directory = await temporaryDirectory();
    const store = await GenerationStore.open(directory.path);
    const contents = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    const { id: parent } = await makeGeneration(store, contents, { framePages: 1 });
    const path = store.path(parent, 'memory.pages');
    const bytes = readFileSync(path);
    bytes[3 * PAGE_SIZE + 17]! ^= 1;
    writeFileSync(path, bytes);
    const { id, memory } = await makeGeneration(store, contents, { parent });
    expect(memory!.counts).toEqual({ unchanged: 9, changed: 1, zeroed: 0, zero: 0 });
    expect(contentsOf(store, id)).toEqual(contents);
  });

  test('against a parent of another size is refused', async () => {
    await using directory = await temporaryDirectory();
    const store = await GenerationStore.open(directory.path);
    const { id } = await makeGeneration(store, [1, 2, 3]);
    await expect(makeGeneration(store, [1, 2, 3, 4], { parent: id })).rejects.toThrow(
      expect.objectContaining({
        code: 'snapshot_incompatible',
        message: 'a guest of 4 pages has no parent of 3 pages',
      }),
    );
  });

  test('of a file that is too short fails', async () => {
    await using directory = await temporaryDirectory();
    const ramPath = join(directory.path, 'ram');
    writeRam(ramPath, [1, 2]);
    const into = { id: 'x', pagesPath: join(directory.path, 'p'), mapPath: join(directory.path, 'm') };
    expect(() => captureMemory({ ramPath, pageCount: 3, into })).toThrow(
      'the memory of the guest is shorter than it should be',
    );
  });
});

describe('the extents of a memory', () => {
  test('are ranges of whole pages, with small holes filled', () => {
    const extents = [
      { start: 0, length: 100, data: true },
      { start: 100, length: PAGE_SIZE * 65, data: false },
      { start: PAGE_SIZE * 66 + 5, length: 10, data: true },
      { start: PAGE_SIZE * 68, length: PAGE_SIZE, data: true },
      { start: PAGE_SIZE * 500, length: PAGE_SIZE * 500, data: true },
    ];
    expect(pageRanges(extents, 600)).toEqual([
      { start: 0, count: 1 },
      { start: 66, count: 3 },
      { start: 500, count: 100 },
    ]);
    expect(pageRanges(extents, 40)).toEqual([{ start: 0, count: 1 }]);
    expect(pageRanges([], 40)).toEqual([]);
  });

  test('are taken from a listing only if it covers the file', () => {
    const extent = (start: number, length: number) => ({ start, length, data: true, depth: 0, offset: 0 });
    const parse = (value: unknown, size: number) => parseListing(JSON.stringify(value), size);
    expect(parse([extent(0, 4), extent(4, 6)], 10)).toEqual([
      { start: 0, length: 4, data: true },
      { start: 4, length: 6, data: true },
    ]);
    expect(parse([extent(0, 4), extent(5, 5)], 10)).toBeUndefined();
    expect(parse([extent(0, 4)], 10)).toBeUndefined();
    expect(parse([{ start: 0, length: 10 }], 10)).toBeUndefined();
    expect(parse({}, 10)).toBeUndefined();
    expect(parseListing('[', 10)).toBeUndefined();
  });

  test('that overlap or leave the guest are refused', async () => {
    await using directory = await temporaryDirectory();
    const ramPath = join(directory.path, 'ram');
    writeRam(ramPath, [1, 2, 3]);
    for (const [index, ranges] of [
      [
        { start: 0, count: 2 },
        { start: 1, count: 1 },
      ],
      [{ start: 2, count: 2 }],
    ].entries()) {
      const into = {
        id: 'x',
        pagesPath: join(directory.path, `${index}`),
        mapPath: join(directory.path, 'm'),
      };
      expect(() => captureMemory({ ramPath, pageCount: 3, into, ranges })).toThrow(
        'ranges must be in order and inside the guest',
      );
    }
  });

  test('hazard 3: of a large sparse file leave out its holes', async () => {
    const directory = await mkdtemp('/dev/shm/dormouse-');
    try {
      const path = join(directory, 'ram');
      const pageCount = (1024 * MIB) / PAGE_SIZE;
      await using file = await open(path, 'w+');
      await file.truncate(1024 * MIB);
      for (const page of [0, 1, 100_000]) await file.write(pageOf(7), 0, PAGE_SIZE, page * PAGE_SIZE);
      const fd = openSync(path, 'r');
      try {
        expect(dataRanges(fd, path, pageCount)).toEqual([
          { start: 0, count: 2 },
          { start: 100_000, count: 1 },
        ]);
        expect(dataRanges(fd, join(directory, 'none'), pageCount)).toEqual([{ start: 0, count: pageCount }]);
      } finally {
        closeSync(fd);
      }
      const into = { id: 'gn1', pagesPath: join(directory, 'p'), mapPath: join(directory, 'm') };
      const { map, counts } = captureMemory({ ramPath: path, pageCount, into });
      expect([...map.populatedRanges()]).toEqual([
        { start: 0, count: 2 },
        { start: 100_000, count: 1 },
      ]);
      expect(counts).toEqual({ unchanged: 0, changed: 3, zeroed: 0, zero: pageCount - 3 });
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
