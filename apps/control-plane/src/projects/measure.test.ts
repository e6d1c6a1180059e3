import { expect, test } from 'vitest';
import { parseSize } from './measure.js';

test('what a workspace holds is read exactly', () => {
  expect(parseSize('0 0\n')).toEqual({ fileCount: 0, sizeBytes: 0 });
  expect(parseSize('128 3407872\n')).toEqual({ fileCount: 128, sizeBytes: 3_407_872 });
});

test('hazard 15: anything else a guest may answer is no count', () => {
  for (const text of [
    '',
    '1',
    '1 2',
    '-1 2\n',
    '1e9 2\n',
    '1 2\n3 4\n',
    `${'9'.repeat(16)} 1\n`,
    '1 NaN\n',
  ]) {
    expect(parseSize(text)).toBeUndefined();
  }
});
