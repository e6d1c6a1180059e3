import { describe, expect, test } from 'vitest';
import { PAGE_SIZE, type PageRange } from '../page.js';
import { GenerationStore } from '../store/generation-store.js';
import { openMemory } from '../store/read-generation.js';
import { flipBit } from '../testing/damage.js';
import { makeGeneration } from '../testing/generations.js';
import { pageOf } from '../testing/guest-memory.js';
import { temporaryDirectory } from '../testing/temporary-directory.js';

/** What a server of pages asks of a memory. */
interface MemorySource {
  readonly pageCount: number;
  nextPopulated(page: number): number;
  read(page: number): Uint8Array | undefined;
  close(): void;
}

describe('the memory of a generation', () => {
  test('is what a server of pages asks for', async () => {
    await using directory = await temporaryDirectory();
    const store = await GenerationStore.open(directory.path);
    const { id } = await makeGeneration(store, [0, 0, 5, 6, 0, 7]);
    const memory = openMemory(store, id);
    const source: MemorySource = memory;
    expect(source.pageCount).toBe(6);
    const populated: number[] = [];
    for (let page = source.nextPopulated(0); page !== -1; page = source.nextPopulated(page + 1)) {
      populated.push(page);
    }
    expect(populated).toEqual([2, 3, 5]);
    expect([...memory.populatedRanges()]).toEqual<PageRange[]>([
      { start: 2, count: 2 },
      { start: 5, count: 1 },
    ]);
    expect(source.read(0)).toBeUndefined();
    expect(Buffer.from(source.read(5)!)).toEqual(pageOf(7));
    source.close();
    source.close();
  });

  test('hands out the right page in any order, from more frames than it keeps', async () => {
    await using directory = await temporaryDirectory();
    const store = await GenerationStore.open(directory.path);
    const first = Array.from({ length: 400 }, (_, page) => page + 1);
    const { id: parent } = await makeGeneration(store, first, { framePages: 2, compress: true });
    const second = first.map((content, page) =>
      page % 3 === 0 ? content + 1000 : page % 7 === 0 ? 0 : content,
    );
    const { id } = await makeGeneration(store, second, { parent, framePages: 16 });
    using memory = openMemory(store, id);
    for (let step = 0; step < 4000; step++) {
      const page = (step * 7919 + (step >> 3)) % 400;
      const bytes = memory.read(page);
      const expected = second[page] === 0 ? undefined : pageOf(second[page]!);
      expect(bytes === undefined ? undefined : Buffer.from(bytes).equals(expected!)).toBe(expected && true);
    }
    const into = Buffer.alloc(400 * PAGE_SIZE);
    expect(memory.readUnverified(0, 400, into)).toBe(true);
    expect(into.equals(Buffer.concat(second.map(pageOf)))).toBe(true);
  });

  test('hazard 6: a frame that was refused is refused again, and the others are not', async () => {
    await using directory = await temporaryDirectory();
    const store = await GenerationStore.open(directory.path);
    const { id } = await makeGeneration(store, [1, 2, 3, 4], { framePages: 2 });
    await flipBit(store.path(id, 'memory.pages'), 3 * PAGE_SIZE);
    using memory = openMemory(store, id);
    const message = `memory.pages of generation ${id} has a frame that does not match its checksum (frame 1)`;
    for (let attempt = 0; attempt < 2; attempt++) {
      expect(Buffer.from(memory.read(0)!)).toEqual(pageOf(1));
      // Page 2 shares the frame with the damaged page 3.
      for (const page of [2, 3]) expect(() => memory.read(page)).toThrow(message);
    }
  });

  test('has no page outside the guest', async () => {
    await using directory = await temporaryDirectory();
    const store = await GenerationStore.open(directory.path);
    const { id } = await makeGeneration(store, [1, 2]);
    using memory = openMemory(store, id);
    for (const page of [-1, 2, 0.5, Number.NaN, 2 ** 40]) {
      expect(() => memory.read(page)).toThrow(
        expect.objectContaining({ code: 'invalid_request', message: `page ${page} of a guest of 2 pages` }),
      );
    }
    expect(memory.nextPopulated(2)).toBe(-1);
  });
});
