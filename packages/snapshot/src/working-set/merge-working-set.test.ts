import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { newGenerationId } from '../generation-id.js';
import { PageMapBuilder } from '../page-map/page-map.js';
import { inheritWorkingSet, mergeWorkingSet } from './merge-working-set.js';

const pages = fc.uniqueArray(fc.nat({ max: 500 }), { maxLength: 200 });

describe('what a restore has taught', () => {
  test('is added behind what was sent ahead, in the order of asking', () => {
    expect(mergeWorkingSet([5, 3], [9, 3, 1, 9])).toEqual({ pages: [5, 3, 9, 1], drifted: false });
    expect(mergeWorkingSet([], [4, 2, 4])).toEqual({ pages: [4, 2], drifted: false });
  });

  test('has no page twice, never more than there is room for, and all that was asked for where there is', () => {
    fc.assert(
      fc.property(
        pages,
        fc.array(fc.nat({ max: 500 })),
        fc.integer({ min: 1, max: 300 }),
        (old, asked, maxPages) => {
          const merged = mergeWorkingSet(old, asked, { maxPages });
          expect(new Set(merged.pages).size).toBe(merged.pages.length);
          const all = new Set([...old, ...asked]);
          expect(merged.pages.length).toBe(Math.min(maxPages, all.size));
          const missed = [...new Set(asked)].filter((page) => !old.includes(page)).slice(0, maxPages);
          expect(missed.every((page) => merged.pages.includes(page))).toBe(true);
        },
      ),
    );
  });

  test('says that the set is outdated when more is missed than can be tolerated', () => {
    const old = Array.from({ length: 400 }, (_, page) => page);
    const asked = (count: number) => Array.from({ length: count }, (_, page) => 1000 + page);
    expect(mergeWorkingSet(old, asked(100)).drifted).toBe(false);
    expect(mergeWorkingSet(old, asked(101)).drifted).toBe(true);
    expect(mergeWorkingSet(old.slice(0, 4), asked(64)).drifted).toBe(false);
    expect(mergeWorkingSet([], asked(5000)).drifted).toBe(false);
  });
});

test('a new generation begins with what is left of its parent’s set and with what has changed', () => {
  const [id, parent] = [newGenerationId(), newGenerationId()];
  const builder = new PageMapBuilder();
  builder.appendZero(2);
  builder.append(3, parent, 0);
  builder.append(3, id, 0);
  const map = builder.build();
  expect(inheritWorkingSet([6, 1, 4, 99], map, id)).toEqual([6, 4, 5, 7]);
  expect(inheritWorkingSet([6, 1, 4], map, id, { maxPages: 3 })).toEqual([6, 4, 5]);
  expect(inheritWorkingSet([6, 1, 4], map, id, { maxPages: 1 })).toEqual([6]);
});
