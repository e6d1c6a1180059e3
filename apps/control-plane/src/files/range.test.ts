import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseRange } from './range.js';

test('one range of bytes is understood in its three forms', () => {
  expect(parseRange('bytes=0-0', 10)).toEqual({ start: 0, end: 0 });
  expect(parseRange('bytes=2-5', 10)).toEqual({ start: 2, end: 5 });
  expect(parseRange('bytes=2-99', 10)).toEqual({ start: 2, end: 9 });
  expect(parseRange('bytes=7-', 10)).toEqual({ start: 7, end: 9 });
  expect(parseRange('bytes=-3', 10)).toEqual({ start: 7, end: 9 });
  expect(parseRange('bytes=-30', 10)).toEqual({ start: 0, end: 9 });
});

test('anything else is ignored', () => {
  for (const header of [
    undefined,
    '',
    'bytes=',
    'bytes=-',
    'lines=1-2',
    'bytes=1-2,4-5',
    'bytes=5-2',
    'bytes=x-1',
  ]) {
    expect(parseRange(header, 10)).toBeUndefined();
  }
});

test('a range outside of the file is refused', () => {
  for (const header of ['bytes=10-', 'bytes=10-12', 'bytes=-0']) {
    expect(() => parseRange(header, 10)).toThrow('the file has 10 bytes; the range lies outside');
  }
});

test('whatever is answered lies inside the file', () => {
  fc.assert(
    fc.property(fc.nat(50), fc.nat(50), fc.integer({ min: 1, max: 40 }), (from, to, size) => {
      let range: ReturnType<typeof parseRange>;
      try {
        range = parseRange(`bytes=${from}-${to}`, size);
      } catch {
        expect(from).toBeGreaterThanOrEqual(size);
        return;
      }
      if (range === undefined) expect(to).toBeLessThan(from);
      else expect(range).toEqual({ start: from, end: Math.min(to, size - 1) });
    }),
  );
});
