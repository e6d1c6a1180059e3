import { expect, test } from 'vitest';
import { DormouseError, fromUnknown, isErrorCode, systemErrorCode } from './index.js';

test('an error knows its status and exit code', () => {
  const error = new DormouseError('no_capacity', 'no memory for another guest', { suggestion: 'delete one' });
  expect([error.code, error.httpStatus, error.exitCode, error.suggestion]).toEqual([
    'no_capacity',
    503,
    4,
    'delete one',
  ]);
});

test('anything thrown becomes an error with its cause', () => {
  const cause = new TypeError('x is not a function');
  const error = fromUnknown(cause);
  expect(error.code).toBe('internal');
  expect(error.message).toBe('x is not a function');
  expect(error.cause).toBe(cause);
  expect(fromUnknown(error)).toBe(error);
  expect(fromUnknown('plain').message).toBe('plain');
});

test('codes are recognised exactly', () => {
  expect(isErrorCode('not_found')).toBe(true);
  expect(isErrorCode('toString')).toBe(false);
});

test('system error codes are read only where they are strings', () => {
  expect(systemErrorCode(Object.assign(new Error('gone'), { code: 'ENOENT' }))).toBe('ENOENT');
  expect(systemErrorCode(Object.assign(new Error('gone'), { code: 5 }))).toBeUndefined();
  expect(systemErrorCode('ENOENT')).toBeUndefined();
});
