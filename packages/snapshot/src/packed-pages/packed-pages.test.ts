import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { newGenerationId } from '../generation-id.js';
import { PAGE_SIZE } from '../page.js';
import { pageOf } from '../testing/guest-memory.js';
import { temporaryDirectory } from '../testing/temporary-directory.js';
import { DEFLATE, RAW } from './footer.js';
import { PackedPages } from './packed-pages-reader.js';
import { type PackedPagesOptions, PackedPagesWriter } from './packed-pages-writer.js';

const ID = newGenerationId();
const SUBJECT = `memory.pages of generation ${ID}`;
const SIZES = [0, 1, 15, 16, 17, 600];

function write(path: string, pages: Buffer, options: PackedPagesOptions) {
  using writer = new PackedPagesWriter(path, ID, options);
  // In pieces of all sizes, which is how changed pages come.
  let page = 0;
  for (let size = 1; page < pages.length / PAGE_SIZE; size = (size * 3) % 50) {
    const count = Math.min(size, pages.length / PAGE_SIZE - page);
    expect(writer.append(pages, page * PAGE_SIZE, count)).toBe(page);
    page += count;
  }
  return writer.finish();
}

function readAll(path: string): Buffer {
  using file = PackedPages.open(path, SUBJECT);
  const frames = file.footer.lengths.length;
  const frame = Buffer.alloc(file.footer.framePages * PAGE_SIZE);
  return Buffer.concat(
    Array.from({ length: frames }, (_, index) =>
      Buffer.from(frame.subarray(0, file.readFrame(index, frame))),
    ),
  );
}

/** Pages that can be compressed, and some that cannot. */
function mixedPages(count: number): Buffer {
  return Buffer.concat(
    Array.from({ length: count }, (_, page) => (page % 40 < 20 ? pageOf(page + 1) : randomBytes(PAGE_SIZE))),
  );
}

describe('packed pages', () => {
  test.each([{ framePages: 16 }, { framePages: 4 }, { framePages: 16, compress: true }, { framePages: 256 }])(
    'come back as they were written (%j)',
    async (options) => {
      await using directory = await temporaryDirectory();
      for (const size of SIZES) {
        const path = join(directory.path, `pages-${size}`);
        const pages = mixedPages(size);
        const written = write(path, pages, options);
        expect(written).toEqual({ pageCount: size, bytes: readFileSync(path).length });
        expect(readAll(path).equals(pages)).toBe(true);
        using file = PackedPages.open(path, SUBJECT);
        const into = Buffer.alloc(pages.length + PAGE_SIZE);
        for (const [first, count] of [
          [0, size],
          [size >> 1, size - (size >> 1)],
          [size >> 2, size >> 2],
        ] as const) {
          expect(file.readUnverified(first, count, into, PAGE_SIZE)).toBe(true);
          const expected = pages.subarray(first * PAGE_SIZE, (first + count) * PAGE_SIZE);
          expect(into.subarray(PAGE_SIZE, PAGE_SIZE + expected.length).equals(expected)).toBe(true);
        }
        expect(file.readUnverified(size, 1, into, 0)).toBe(false);
      }
    },
  );

  test('are compressed only on request and only where it pays', async () => {
    await using directory = await temporaryDirectory();
    const pages = Buffer.concat([Buffer.alloc(4 * PAGE_SIZE, 'x'), randomBytes(4 * PAGE_SIZE)]);
    for (const [compress, codecs] of [
      [false, [RAW, RAW]],
      [true, [DEFLATE, RAW]],
    ] as const) {
      const path = join(directory.path, `pages-${compress}`);
      write(path, pages, { framePages: 4, compress });
      using file = PackedPages.open(path, SUBJECT);
      expect([...file.footer.codecs]).toEqual(codecs);
    }
  });

  test('hazard 6: with a bit flipped anywhere never hand out a wrong byte', async () => {
    await using directory = await temporaryDirectory();
    for (const compress of [false, true]) {
      const path = join(directory.path, `pages-${compress}`);
      write(path, mixedPages(12), { framePages: 4, compress });
      const bytes = readFileSync(path);
      // One bit of every byte of the last 200, which is the footer and the end of the frames, and one in 997 before.
      const ending = (bytes.length - 200) * 8;
      for (let bit = 0; bit < bytes.length * 8; bit += bit < ending ? 997 : 9) {
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        writeFileSync(path, bytes);
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        expect(() => readAll(path), `bit ${bit}`).toThrow(
          expect.objectContaining({ code: 'snapshot_corrupt' }),
        );
      }
    }
  });

  test('hazard 6: that are cut off or missing are refused', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'pages');
    write(path, mixedPages(10), { framePages: 4 });
    const bytes = readFileSync(path);
    for (const length of [0, 1, 87, 88, 100, PAGE_SIZE, bytes.length - 1, bytes.length - PAGE_SIZE]) {
      writeFileSync(path, bytes.subarray(0, length));
      expect(() => readAll(path), `${length} bytes`).toThrow(
        expect.objectContaining({ code: 'snapshot_corrupt' }),
      );
    }
    writeFileSync(path, Buffer.concat([Buffer.alloc(1), bytes]));
    expect(() => readAll(path)).toThrow(`${SUBJECT} has the wrong length`);
    expect(() => PackedPages.open(join(directory.path, 'none'), SUBJECT)).toThrow(`${SUBJECT} is missing`);
  });

  test('that were not finished are not readable', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'pages');
    {
      using writer = new PackedPagesWriter(path, ID);
      writer.append(mixedPages(400), 0, 400);
    }
    expect(() => PackedPages.open(path, SUBJECT)).toThrow(`${SUBJECT} has no footer`);
  });
});
