import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { newGenerationId } from '../generation-id.js';
import { applyDiff, countPages, MemoryDiffBuilder } from './memory-diff.js';
import { PageMap, PageMapBuilder, PageMapCursor } from './page-map.js';
import { faultOf } from './page-map-codec.js';

const A = newGenerationId();
const B = newGenerationId();
const NEW = newGenerationId();

/** Where every page's content is, one entry a page: the obvious representation that maps are held to. */
type Place = readonly [source: string, packed: number] | undefined;

function mapOf(places: readonly Place[]): PageMap {
  const builder = new PageMapBuilder();
  for (const place of places) {
    if (place === undefined) builder.appendZero(1);
    else builder.append(1, place[0], place[1]);
  }
  return builder.build();
}

function placesOf(map: PageMap): Place[] {
  return [...map.runs()].flatMap((run) =>
    Array.from({ length: run.count }, (_, index): Place => {
      return run.source === undefined ? undefined : [run.source, run.packed + index];
    }),
  );
}

const place: fc.Arbitrary<Place> = fc.oneof(
  fc.constant(undefined),
  fc.tuple(fc.constantFrom(A, B), fc.nat({ max: 5 })),
);
const places = fc.array(place, { minLength: 1, maxLength: 40 });

describe('a page map', () => {
  test('says of every page what it was told, in runs as long as they can be', () => {
    fc.assert(
      fc.property(places, (expected) => {
        const map = mapOf(expected);
        expect(placesOf(map)).toEqual(expected);
        expect(faultOf(map)).toBeUndefined();
      }),
    );
  });

  test('finds the run of a page, next content and ranges as a look at every page does', () => {
    fc.assert(
      fc.property(places, fc.array(fc.nat({ max: 39 })), (expected, walk) => {
        const map = mapOf(expected);
        const cursor = new PageMapCursor(map);
        for (const step of [...expected.keys(), ...walk]) {
          const page = step % expected.length;
          const run = map.run(map.find(page));
          expect(page >= run.start && page < run.start + run.count).toBe(true);
          expect(cursor.seek(page)).toBe(map.find(page));
          expect(map.nextPopulated(page)).toBe(expected.findIndex((at, index) => index >= page && at));
        }
        const populated = [...map.populatedRanges()].flatMap(({ start, count }) =>
          Array.from({ length: count }, (_, index) => start + index),
        );
        expect(populated).toEqual([...expected.keys()].filter((page) => expected[page]));
        expect(map.populatedPages()).toBe(populated.length);
        expect(map.nextPopulated(expected.length)).toBe(-1);
      }),
    );
  });

  test('of a fresh guest is one run of zeros', () => {
    const map = PageMap.zero(1000);
    expect([...map.runs()]).toEqual([{ start: 0, count: 1000, source: undefined, packed: 0 }]);
    expect([map.sources, map.nextPopulated(0)]).toEqual([[], -1]);
  });
});

describe('a diff', () => {
  test('hazard 1: a zeroed page has no content any more, an unchanged one keeps it', () => {
    const parent = mapOf([[A, 0], [A, 1], [A, 2], undefined]);
    const diff = new MemoryDiffBuilder();
    diff.appendUnchanged(1);
    diff.appendZeroed(1);
    diff.appendChanged(1, 0);
    diff.appendUnchanged(1);
    const built = diff.build();
    expect(placesOf(applyDiff(parent, built, NEW))).toEqual([[A, 0], undefined, [NEW, 0], undefined]);
    expect(countPages(parent, built)).toEqual({ unchanged: 1, changed: 1, zeroed: 1, zero: 1 });
  });

  test('hazard 1: applied to any parent, decides every page by what became of it and by nothing else', () => {
    const kinds = fc.constantFrom('unchanged', 'zeroed', 'changed');
    fc.assert(
      fc.property(fc.array(fc.tuple(place, kinds), { minLength: 1, maxLength: 60 }), (pages) => {
        const parent = mapOf(pages.map(([at]) => at));
        const diff = new MemoryDiffBuilder();
        let packed = 0;
        const expected = pages.map(([at, kind]): Place => {
          if (kind === 'unchanged') diff.appendUnchanged(1);
          else if (kind === 'zeroed') diff.appendZeroed(1);
          else diff.appendChanged(1, packed);
          return kind === 'unchanged' ? at : kind === 'zeroed' ? undefined : [NEW, packed++];
        });
        const built = diff.build();
        const map = applyDiff(parent, built, NEW);
        expect(placesOf(map)).toEqual(expected);
        expect(faultOf(map)).toBeUndefined();
        const counts = countPages(parent, built);
        expect(counts).toEqual({
          unchanged: pages.filter(([at, kind]) => kind === 'unchanged' && at).length,
          changed: packed,
          zeroed: pages.filter(([at, kind]) => kind === 'zeroed' && at).length,
          zero: pages.filter(([at, kind]) => kind !== 'changed' && !at).length,
        });
      }),
    );
  });

  test('leaves out sources that nothing refers to any more', () => {
    const parent = mapOf([[A, 0], [B, 0], undefined]);
    const diff = new MemoryDiffBuilder();
    diff.appendZeroed(1);
    diff.appendUnchanged(2);
    expect(applyDiff(parent, diff.build(), NEW).sources).toEqual([B]);
  });

  test('of another size is refused', () => {
    const diff = new MemoryDiffBuilder();
    diff.appendUnchanged(2);
    expect(() => applyDiff(PageMap.zero(3), diff.build(), NEW)).toThrow(
      'a diff of 2 pages does not fit a map of 3',
    );
  });
});
