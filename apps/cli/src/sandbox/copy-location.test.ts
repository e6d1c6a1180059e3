import { expect, test } from 'vitest';
import { parseLocation, planCopy } from './copy-location.js';

const ID = 'sb4f9k2m7q1x8c3v6b0n5z';

test('ID:PATH is in the sandbox, - is a stream, everything else is here', () => {
  expect(parseLocation(`${ID}:/tmp/a b:c`)).toEqual({ kind: 'sandbox', id: ID, path: '/tmp/a b:c' });
  expect(parseLocation(`${ID}:`)).toEqual({ kind: 'sandbox', id: ID, path: '.' });
  expect(parseLocation('-')).toEqual({ kind: 'stream' });
  for (const path of [`./${ID}:x`, 'C:/x', 'sb123:/x', `${ID}`, `${ID.toUpperCase()}:/x`, './-']) {
    expect(parseLocation(path)).toEqual({ kind: 'local', path });
  }
});

test('exactly one side is in a sandbox', () => {
  expect(planCopy('a', `${ID}:/b`).direction).toBe('upload');
  expect(planCopy(`${ID}:/b`, '-').direction).toBe('download');
  expect(() => planCopy('a', 'b')).toThrow('no side is in a sandbox');
  expect(() => planCopy(`${ID}:a`, `${ID}:b`)).toThrow('both sides are in a sandbox');
});
