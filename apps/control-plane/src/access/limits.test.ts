import type { Session } from '@dormouse/contracts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';
import { ask, PASSWORD, type Refusal, type Told } from '../testing/people.js';

const LIMITS = {
  signUps: { limit: 2, windowSec: 3600 },
  logIns: { limit: 6, windowSec: 3600 },
  logInsOfEmail: { limit: 3, windowSec: 3600 },
  keyFailures: { limit: 4, windowSec: 3600 },
};

let plane: TestControlPlane;
beforeAll(async () => {
  plane = await startTestControlPlane({ limits: LIMITS });
}, 60_000);
afterAll(() => plane.close(), 60_000);

const signUp = (email: string, from: string) =>
  ask<Session & Refusal>(plane, 'POST', '/v1/auth/signup', { json: { email, password: PASSWORD }, from });
const logIn = (email: string, password: string, from: string) =>
  ask<Session & Refusal>(plane, 'POST', '/v1/auth/login', { json: { email, password }, from });

/** A 429 that says when to come back, and that it does not come sooner than an even share of the window. */
function expectLater({ status, body, headers }: Told<Refusal>, windowSec: number): void {
  expect([status, body.error.code]).toEqual([429, 'too_many_requests']);
  const seconds = Number(headers.get('retry-after'));
  expect(seconds).toBeGreaterThan(windowSec - 60);
  expect(seconds).toBeLessThanOrEqual(windowSec);
  expect(body.error.message).toBe(`too many tries. Try again in ${seconds} s.`);
}

describe('limits', () => {
  test('sign-ups by address', async () => {
    const from = '192.0.2.1';
    expect((await signUp('a@example.org', from)).status).toBe(201);
    expect((await signUp('b@example.org', from)).status).toBe(201);
    expectLater(await signUp('c@example.org', from), 1800);
    expect((await signUp('c@example.org', '192.0.2.2')).status).toBe(201);
  });

  test('failed logins by e-mail from wherever, known or not, and a login that succeeds starts over', async () => {
    for (const email of ['a@example.org', 'nobody@example.org']) {
      for (let from = 10; from < 13; from++) {
        expect((await logIn(email, 'wrong', `192.0.2.${from}`)).status).toBe(401);
      }
      expectLater(await logIn(email.toUpperCase(), 'wrong', '192.0.2.14'), 1200);
    }
    for (let round = 0; round < 5; round++) {
      const from = `192.0.2.${20 + round}`;
      expect((await logIn('b@example.org', 'wrong', from)).status).toBe(401);
      expect((await logIn('b@example.org', PASSWORD, from)).status).toBe(200);
    }
  });

  test('logins by address, successful or not', async () => {
    const from = '192.0.2.30';
    for (let i = 0; i < 6; i++) expect((await logIn(`x${i}@example.org`, 'wrong', from)).status).toBe(401);
    expectLater(await logIn('b@example.org', PASSWORD, from), 600);
  });

  test('an address of IPv6 is its network', async () => {
    expect((await signUp('d@example.org', '2001:db8:1:2::1')).status).toBe(201);
    expect((await signUp('e@example.org', '2001:db8:1:2:ffff::1')).status).toBe(201);
    expectLater(await signUp('f@example.org', '2001:db8:1:2::3'), 1800);
    expect((await signUp('f@example.org', '2001:db8:1:3::1')).status).toBe(201);
  });

  test('invalid keys and tokens by address; a valid one from there works all the same', async () => {
    const from = '192.0.2.40';
    for (const token of [`dor_${'0'.repeat(64)}`, 'hunter2', 'eyJ.eyJ.eyJ', 'e2b_']) {
      expect((await ask(plane, 'GET', '/v1/me', { token, from })).status).toBe(401);
    }
    expectLater(await ask(plane, 'GET', '/v1/me', { token: 'hunter2', from }), 900);
    expect((await ask(plane, 'GET', '/v1/me', { from })).status).toBe(401);
    expect((await ask(plane, 'GET', '/v1/me', { token: plane.team.key, from })).status).toBe(200);
  });

  test('a header that no proxy has written is not believed', async () => {
    const { access } = plane.services;
    Object.assign(access, { trustedProxies: 0 });
    try {
      expect((await signUp('g@example.org', '192.0.2.50')).status).toBe(201);
      expect((await signUp('h@example.org', '192.0.2.51')).status).toBe(201);
      expectLater(await signUp('i@example.org', '192.0.2.52'), 1800);
    } finally {
      Object.assign(access, { trustedProxies: 1 });
    }
  });
});
