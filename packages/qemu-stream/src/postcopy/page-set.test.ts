import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PageSet } from './page-set.js';

test('a page set is a set', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(99)), (pages) => {
      const set = new PageSet(100);
      const model = new Set<number>();
      for (const page of pages) {
        expect(set.add(page)).toBe(!model.has(page));
        model.add(page);
      }
      for (let page = 0; page < 100; page++) expect(set.has(page)).toBe(model.has(page));
    }),
  );
});
