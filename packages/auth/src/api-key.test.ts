import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { asE2bKey, displayPrefix, equalHashes, generateApiKey, parseApiKey } from './index.js';

const HEX = '0123456789abcdef'.repeat(4);

test('a key is dor_ and 64 hex digits, and no two are alike', () => {
  const keys = Array.from({ length: 100 }, () => generateApiKey().key);
  for (const key of keys) expect(key).toMatch(/^dor_[0-9a-f]{64}$/);
  expect(new Set(keys).size).toBe(100);
});

test('only the digest and the first digits are kept', () => {
  const made = generateApiKey();
  const hex = made.key.slice(4);
  expect(made.hash).toBe(createHash('sha256').update(hex).digest('hex'));
  expect(made.lookup).toBe(hex.slice(0, 8));
  expect(displayPrefix(made.lookup)).toBe(made.key.slice(0, 12));
});

test('the same digits are the same key under both prefixes', () => {
  expect(parseApiKey(`dor_${HEX}`)).toEqual(parseApiKey(`e2b_${HEX}`));
  expect(parseApiKey(asE2bKey(`dor_${HEX}`))).toEqual(parseApiKey(`dor_${HEX}`));
  expect(asE2bKey(`dor_${HEX}`)).toBe(`e2b_${HEX}`);
});

test('anything else is no key', () => {
  for (const text of [
    '',
    HEX,
    `dor_${HEX}0`,
    `dor_${HEX.slice(1)}`,
    `DOR_${HEX}`,
    `dor_${HEX.toUpperCase()}`,
    ` dor_${HEX}`,
    `dor_${HEX}\n`,
    `sk_${HEX}`,
  ]) {
    expect(parseApiKey(text)).toBeUndefined();
  }
  fc.assert(fc.property(fc.string(), (text) => parseApiKey(text) === undefined));
});

test('digests compare by value', () => {
  const a = generateApiKey().hash;
  const b = generateApiKey().hash;
  expect(equalHashes(a, a)).toBe(true);
  expect(equalHashes(a, b)).toBe(false);
  expect(equalHashes(a, a.slice(2))).toBe(false);
  expect(equalHashes('', '')).toBe(false);
});
