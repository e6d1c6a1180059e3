import fc from 'fast-check';
import { expect, test } from 'vitest';
import { expiredMoments, type KeptMoment } from './retention.js';

const automatic = (id: string, pinned = false): KeptMoment => ({ id, description: null, pinned });
const described = (id: string): KeptMoment => ({ id, description: 'why', pinned: false });

test.each<[string, KeptMoment[], number, string | null, string[]]>([
  ['nothing', [], 1, null, []],
  ['as many as are kept', [automatic('b'), automatic('a')], 2, 'b', []],
  ['one too many', [automatic('c'), automatic('b'), automatic('a')], 2, 'c', ['a']],
  ['described ones do not count', [described('c'), automatic('b'), described('a')], 1, 'c', []],
  ['described ones between', [automatic('c'), described('b'), automatic('a')], 1, 'c', ['a']],
  ['hazard 5: the head, however old', [automatic('c'), automatic('b'), automatic('a')], 1, 'a', ['b']],
  ['hazard 5: a pinned one', [automatic('c'), automatic('b', true), automatic('a')], 1, 'c', ['a']],
])('%s', (_name, moments, keepLast, head, expected) => {
  expect(expiredMoments(moments, keepLast, [head])).toEqual(expected);
});

test('hazards 5 and 19: of any history exactly what must stay stays, and retention is done after once', () => {
  const moment = fc.record({
    id: fc.uuid(),
    description: fc.option(fc.string({ minLength: 1 }), { nil: null }),
    pinned: fc.boolean(),
  });
  const history = fc.uniqueArray(moment, { selector: ({ id }) => id, maxLength: 40 });
  fc.assert(
    fc.property(history, fc.integer({ min: 1, max: 12 }), fc.nat(), fc.nat(), (moments, keepLast, at, to) => {
      const head = moments.length === 0 ? null : moments[at % moments.length]!.id;
      const restoring = to % 2 === 0 || moments.length === 0 ? null : moments[to % moments.length]!.id;
      const gone = new Set(expiredMoments(moments, keepLast, [head, restoring]));
      const kept = moments.filter(({ id }) => !gone.has(id));
      for (const { id, description, pinned } of moments) {
        if (description !== null || pinned || id === head || id === restoring)
          expect(gone.has(id)).toBe(false);
      }
      const automatics = moments.filter(({ description }) => description === null);
      for (const { id } of automatics.slice(0, keepLast)) expect(gone.has(id)).toBe(false);
      const spare = kept.filter(
        ({ id, description, pinned }) => description === null && !pinned && id !== head && id !== restoring,
      );
      expect(spare.length).toBeLessThanOrEqual(keepLast);
      expect(expiredMoments(kept, keepLast, [head, restoring])).toEqual([]);
    }),
  );
});
