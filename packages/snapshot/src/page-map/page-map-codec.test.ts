import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { newGenerationId } from '../generation-id.js';
import { PageMapBuilder, PageMapCursor } from './page-map.js';
import { decodePageMap, encodePageMap } from './page-map-codec.js';

const SUBJECT = 'memory.map of generation x';
const IDS = Array.from({ length: 3 }, newGenerationId);
const HEADER_BYTES = 24;

function smallMap() {
  const builder = new PageMapBuilder();
  builder.appendZero(3);
  builder.append(2, IDS[0]!, 0);
  builder.append(1, IDS[1]!, 7);
  builder.appendZero(4);
  return builder.build();
}

/** Puts the right checksum under wrong content: what is left to find it is validation. */
function resealed(bytes: Buffer, change: (bytes: Buffer) => void): Buffer {
  const copy = Buffer.from(bytes);
  change(copy);
  const end = copy.length - 32;
  createHash('sha256').update(copy.subarray(0, end)).digest().copy(copy, end);
  return copy;
}

describe('an encoded page map', () => {
  test('comes back as it was', () => {
    const run = fc.record({
      count: fc.integer({ min: 1, max: 300 }),
      source: fc.constantFrom(undefined, ...IDS),
      packed: fc.nat({ max: 100_000 }),
    });
    fc.assert(
      fc.property(fc.array(run, { minLength: 1, maxLength: 50 }), (runs) => {
        const builder = new PageMapBuilder();
        for (const { count, source, packed } of runs) {
          if (source === undefined) builder.appendZero(count);
          else builder.append(count, source, packed);
        }
        const map = builder.build();
        const decoded = decodePageMap(encodePageMap(map), SUBJECT);
        expect([...decoded.runs()]).toEqual([...map.runs()]);
        expect(decoded.sources).toEqual(map.sources);
      }),
    );
  });

  test('hazard 6: with any bit flipped or cut off anywhere is refused', () => {
    const bytes = encodePageMap(smallMap());
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => decodePageMap(flipped, SUBJECT), `bit ${bit}`).toThrow(
        expect.objectContaining({ code: 'snapshot_corrupt' }),
      );
    }
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodePageMap(bytes.subarray(0, length), SUBJECT)).toThrow(
        expect.objectContaining({ code: 'snapshot_corrupt' }),
      );
    }
  });

  test('that is wrong in itself is refused, whatever its checksum says', () => {
    const bytes = encodePageMap(smallMap());
    const starts = HEADER_BYTES + 2 * 28;
    const packed = starts + 4 * 4;
    const origins = packed + 4 * 4;
    const cases: [string, (bytes: Buffer) => void][] = [
      ['is not a page map', (b) => b.write('X')],
      ['has version 2, not 1', (b) => b.writeUInt32LE(2, 8)],
      ['describes 0 pages', (b) => b.writeUInt32LE(0, 12)],
      ['has an impossible run at page 6', (b) => b.writeUInt32LE(6, 12)],
      ['has the wrong length', (b) => b.writeUInt32LE(5, 20)],
      ['names no generation', (b) => b.write('../', HEADER_BYTES)],
      ['names a source twice', (b) => b.copy(b, HEADER_BYTES + 28, HEADER_BYTES, HEADER_BYTES + 28)],
      ['does not begin at page 0', (b) => b.writeUInt32LE(1, starts)],
      ['has an impossible run at page 3', (b) => b.writeUInt32LE(3, starts + 8)],
      ['has an impossible packed index at page 3', (b) => b.writeUInt32LE(2 ** 28 - 1, packed + 4)],
      ['has an impossible packed index at page 0', (b) => b.writeUInt32LE(1, packed)],
      ['names a source that it does not have at page 3', (b) => b.writeUInt16LE(3, origins + 2)],
      [
        'has a needless run at page 3',
        (b) => b.writeUInt32LE(0, packed + 4) && b.writeUInt16LE(0, origins + 2),
      ],
      ['has a source that it does not use', (b) => b.writeUInt16LE(1, origins + 4)],
    ];
    for (const [fault, change] of cases) {
      expect(() => decodePageMap(resealed(bytes, change), SUBJECT)).toThrow(`${SUBJECT} ${fault}`);
    }
  });

  test('of a fragmented guest of 64 GiB takes tens of megabytes and is loaded and searched quickly', () => {
    const pageCount = 16 * 1024 * 1024;
    const runs = 4 * 1024 * 1024;
    const builder = new PageMapBuilder();
    for (let run = 0; run < runs; run++) {
      const length = pageCount / runs;
      if (run % 4 === 3) builder.appendZero(length);
      else builder.append(length, IDS[run % 4]!, run * 2);
    }
    const bytes = encodePageMap(builder.build());
    expect(bytes.length).toBe(HEADER_BYTES + 3 * 28 + runs * 10 + 32);
    const before = performance.now();
    const map = decodePageMap(bytes, SUBJECT);
    const loadMs = performance.now() - before;
    expect([map.pageCount, map.runCount]).toEqual([pageCount, runs]);
    const { starts, packed, origins } = map.table;
    expect(starts.byteLength + packed.byteLength + origins.byteLength).toBe(runs * 10);
    const lookUps = 200_000;
    const began = performance.now();
    for (let index = 0; index < lookUps; index++) map.find((index * 7_919_993) % pageCount);
    const lookUpUs = ((performance.now() - began) * 1000) / lookUps;
    const cursor = new PageMapCursor(map);
    const walkBegan = performance.now();
    for (let page = 0; page < pageCount; page++) cursor.seek(page);
    const walkMs = performance.now() - walkBegan;
    // Ten times what a machine with two busy cores needs: these are bounds on the order of magnitude.
    expect({ loadMs: loadMs < 3_000, lookUpUs: lookUpUs < 10, walkMs: walkMs < 5_000 }).toEqual({
      loadMs: true,
      lookUpUs: true,
      walkMs: true,
    });
    if (process.env.DORMOUSE_FIGURES !== undefined) console.log({ loadMs, lookUpUs, walkMs });
  });
});
