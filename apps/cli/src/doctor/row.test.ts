import { expect, test } from 'vitest';
import { mergeRows, ok, parseRow, warn } from './row.js';

test('what was tried replaces what was only looked at, and adds what nobody else sees', () => {
  const ours = [ok('Node.js', 'v20'), warn('KVM', 'not tried', 'Try.')];
  const theirs = [ok('KVM', 'a guest boots'), ok('QEMU', '7.2')];
  expect(mergeRows(ours, theirs)).toEqual([ours[0], theirs[0], theirs[1]]);
});

test('rows of another program are taken only when they are rows', () => {
  expect(parseRow({ name: 'KVM', status: 'ok', detail: 'x' })).toEqual(ok('KVM', 'x'));
  for (const value of [null, 'x', {}, { name: 'x', status: 'maybe', detail: 'y' }]) {
    expect(parseRow(value)).toBeUndefined();
  }
});
