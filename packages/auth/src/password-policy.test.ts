import { expect, test } from 'vitest';
import { isCommonPassword, passwordProblem } from './index.js';

test('common passwords are refused however their letters are written', () => {
  for (const password of ['password', 'PassWord', '12345678', 'QWERTYUIOP', 'iloveyou', 'TrustNo1']) {
    expect(passwordProblem(password)).toBe('is one of the most common passwords; choose another');
  }
});

test('what nobody else has is accepted, and a common one inside a longer one as well', () => {
  for (const password of [
    'correct horse battery staple',
    'password of a dormouse',
    'πάσγουορδ',
    '  x  y  ',
  ]) {
    expect(isCommonPassword(password)).toBe(false);
    expect(passwordProblem(password)).toBeUndefined();
  }
});

test('length is counted in characters', () => {
  expect(passwordProblem('sieben7')).toBe('must have at least 8 characters');
  expect(passwordProblem('🐭'.repeat(7))).toBe('must have at least 8 characters');
  expect(passwordProblem('🐭'.repeat(8))).toBeUndefined();
  expect(passwordProblem('x'.repeat(256))).toBeUndefined();
  expect(passwordProblem('x'.repeat(257))).toBe('must have at most 256 characters');
});
