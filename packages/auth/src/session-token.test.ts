import { base64url, SignJWT } from 'jose';
import { expect, test } from 'vitest';
import { generateTokenSecret, looksLikeToken, SessionTokens } from './index.js';

const SECRET = generateTokenSecret();
const SESSION = {
  userId: '0198c0de-0000-4000-8000-000000000001',
  teamId: '0198c0de-0000-4000-8000-000000000002',
};
const NOON = Date.parse('2026-06-01T12:00:00.000Z');
const tokens = new SessionTokens(SECRET, () => NOON);

/** A token like ours, but for what a test changes. */
function forged(
  header: Record<string, string> = {},
  claims: Record<string, unknown> = {},
  secret: Uint8Array = SECRET,
): Promise<string> {
  const at = NOON / 1000;
  return new SignJWT({
    sub: SESSION.userId,
    team: SESSION.teamId,
    iss: 'dormouse',
    aud: 'dormouse:v1',
    iat: at,
    exp: at + 60,
    ...claims,
  })
    .setProtectedHeader({ alg: 'HS256', typ: 'dormouse-session+jwt', ...header })
    .sign(secret);
}

test('a token tells who and which team, for six hours to the second', async () => {
  const { token, expiresAt } = await tokens.issue(SESSION);
  expect(looksLikeToken(token)).toBe(true);
  expect(expiresAt.toISOString()).toBe('2026-06-01T18:00:00.000Z');
  expect(await tokens.read(token)).toEqual(SESSION);
  const at = (ms: number) => new SessionTokens(SECRET, () => ms);
  expect(await at(expiresAt.getTime() - 1000).read(token)).toEqual(SESSION);
  expect(await at(expiresAt.getTime()).read(token)).toBeUndefined();
});

test('algorithm, issuer, audience, type and every claim are pinned', async () => {
  expect(await tokens.read(await forged())).toEqual(SESSION);
  for (const token of [
    await forged({ alg: 'HS384' }, {}, Buffer.alloc(48, SECRET)),
    await forged({ alg: 'HS512' }, {}, Buffer.alloc(64, SECRET)),
    await forged({ typ: 'JWT' }),
    await forged({}, { iss: 'someone' }),
    await forged({}, { aud: 'another service' }),
    await forged({}, { sub: undefined }),
    await forged({}, { team: undefined }),
    await forged({}, { team: 7 }),
    await forged({}, { exp: undefined }),
    await forged({}, { iat: undefined }),
    await forged({}, {}, generateTokenSecret()),
  ]) {
    expect(await tokens.read(token)).toBeUndefined();
  }
});

test('no signature is no signature', async () => {
  const [, claims] = (await forged()).split('.');
  const none = base64url.encode(JSON.stringify({ alg: 'none', typ: 'dormouse-session+jwt' }));
  for (const token of [`${none}.${claims}.`, `${none}.${claims}.x`, 'eyJ.eyJ.x', '', 'nonsense']) {
    expect(await tokens.read(token)).toBeUndefined();
  }
});

test('a changed token is refused wherever it was changed', async () => {
  const { token } = await tokens.issue(SESSION);
  for (let at = 0; at < token.length; at += 7) {
    const other = token[at] === 'A' ? 'B' : 'A';
    if (token[at] === '.') continue;
    expect(await tokens.read(token.slice(0, at) + other + token.slice(at + 1))).toBeUndefined();
  }
});

test('a secret of another length is refused', () => {
  expect(() => new SessionTokens(new Uint8Array(31))).toThrow('a token secret has 32 bytes');
  expect(generateTokenSecret()).toHaveLength(32);
  expect(Buffer.from(generateTokenSecret()).equals(generateTokenSecret())).toBe(false);
});
