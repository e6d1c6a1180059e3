import { hash } from '@node-rs/argon2';
import { expect, test } from 'vitest';
import { hashPassword, needsRehash, PASSWORD_COST, verifyPassword } from './index.js';

const PASSWORD = 'correct horse battery staple';

test('a hash names its algorithm and cost, and no two are alike', async () => {
  const [one, two] = await Promise.all([hashPassword(PASSWORD), hashPassword(PASSWORD)]);
  expect(one).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
  expect(one).not.toBe(two);
});

test('only the password that was hashed fits, to the letter', async () => {
  const stored = await hashPassword(PASSWORD);
  expect(await verifyPassword(stored, PASSWORD)).toBe(true);
  for (const wrong of ['', PASSWORD.toUpperCase(), `${PASSWORD} `, PASSWORD.slice(1)]) {
    expect(await verifyPassword(stored, wrong)).toBe(false);
  }
});

test('the same letters fit however a keyboard writes them', async () => {
  const stored = await hashPassword('gru\u0308\u00dfe aus Z\u00fcrich');
  expect(await verifyPassword(stored, 'gr\u00fc\u00dfe aus Zu\u0308rich')).toBe(true);
  expect(await verifyPassword(stored, 'gru\u00dfe aus Zurich')).toBe(false);
});

test('a hash is to be made again when it is weaker than the present cost, not when it is stronger', async () => {
  const stored = await hashPassword(PASSWORD, { memoryKib: 64, passes: 2, lanes: 1 });
  expect(needsRehash(stored, { memoryKib: 64, passes: 2, lanes: 1 })).toBe(false);
  expect(needsRehash(stored, { memoryKib: 32, passes: 1, lanes: 1 })).toBe(false);
  expect(needsRehash(stored, { memoryKib: 65, passes: 2, lanes: 1 })).toBe(true);
  expect(needsRehash(stored, { memoryKib: 64, passes: 3, lanes: 1 })).toBe(true);
  expect(needsRehash(stored)).toBe(true);
  const otherKind = await hash(PASSWORD, { algorithm: 1, memoryCost: 65_536, timeCost: 3 });
  expect(needsRehash(otherKind, PASSWORD_COST)).toBe(true);
});
