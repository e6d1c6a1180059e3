import { expect, test } from 'vitest';
import { Passwords } from './passwords.js';

const PASSWORD = 'correct horse battery staple';

test('fits what was hashed, and nothing where there is no hash', async () => {
  const passwords = new Passwords();
  const stored = await passwords.hash(PASSWORD);
  expect(await passwords.fits(stored, PASSWORD)).toBe(true);
  expect(await passwords.fits(stored, 'wrong')).toBe(false);
  expect(await passwords.fits(null, PASSWORD)).toBe(false);
  expect(await passwords.fits(undefined, '')).toBe(false);
});

test('a crowd waits, those who find no place to wait are told so, and the places come back', async () => {
  const passwords = new Passwords();
  const outcomes = await Promise.allSettled(Array.from({ length: 70 }, () => passwords.fits(null, 'x')));
  const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
  expect(refused).toHaveLength(4);
  expect(refused[0]?.reason).toMatchObject({ code: 'unavailable' });
  const again = await Promise.allSettled(Array.from({ length: 66 }, () => passwords.fits(null, 'x')));
  expect(again.every((outcome) => outcome.status === 'fulfilled')).toBe(true);
});
