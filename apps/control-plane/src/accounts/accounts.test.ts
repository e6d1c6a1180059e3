import { performance } from 'node:perf_hooks';
import { hashPassword, SessionTokens } from '@dormouse/auth';
import type { CreatedApiKey, Me, Session } from '@dormouse/contracts';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { openAccess } from '../access/access.js';
import { createApi } from '../api.js';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';
import { ask, newPerson, PASSWORD, type Refusal } from '../testing/people.js';

let plane: TestControlPlane;
beforeAll(async () => {
  plane = await startTestControlPlane();
}, 60_000);
afterAll(() => plane.close(), 60_000);
beforeEach(() => plane.host.reset());

const signUp = (json: unknown) => ask<Session & Refusal>(plane, 'POST', '/v1/auth/signup', { json });
const logIn = (email: string, password: string) =>
  ask<Session & Refusal>(plane, 'POST', '/v1/auth/login', { json: { email, password } });

describe('signing up', () => {
  test('makes a user and a team that is theirs, and they are logged in', async () => {
    const { status, body } = await signUp({ email: 'Ada@Example.org', password: PASSWORD, name: 'Ada' });
    expect(status).toBe(201);
    expect(body.user).toMatchObject({ email: 'Ada@Example.org', name: 'Ada' });
    expect(body.team).toMatchObject({ name: "Ada's team", role: 'owner' });
    const sixHoursMs = 6 * 3_600_000;
    expect(Math.abs(Date.parse(body.expires_at) - Date.now() - sixHoursMs)).toBeLessThan(10_000);

    const me = await ask<Me>(plane, 'GET', '/v1/me', { token: body.token });
    expect(me.body).toEqual({ user: body.user, api_key: null, team: body.team });
  });

  test('an e-mail is taken however its letters are written', async () => {
    await signUp({ email: 'taken@example.org', password: PASSWORD });
    for (const email of ['taken@example.org', 'TAKEN@example.org', ' taken@EXAMPLE.org ']) {
      const { status, body } = await signUp({ email, password: PASSWORD });
      expect([status, body.error]).toMatchObject([409, { code: 'email_taken' }]);
    }
  });

  test('of two that sign up with one e-mail at the same time one succeeds, and nothing is left of the other', async () => {
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => signUp({ email: 'race@example.org', password: PASSWORD })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409, 409, 409, 409, 409]);
    const winner = answers.find(({ status }) => status === 201)!.body;
    const { body } = await ask<{ teams: { id: string }[] }>(plane, 'GET', '/v1/teams', {
      token: winner.token,
    });
    expect(body.teams.map(({ id }) => id)).toEqual([winner.team.id]);
  });

  test('is refused where it is closed, and logging in is not', async () => {
    const { user } = await newPerson(plane);
    const { access } = plane.services;
    Object.assign(access, { signUpOpen: false });
    try {
      const { status, body } = await signUp({ email: 'late@example.org', password: PASSWORD });
      expect([status, body.error]).toMatchObject([
        403,
        { code: 'forbidden', message: 'nobody can sign up at this server' },
      ]);
      expect((await logIn(user.email, PASSWORD)).status).toBe(200);
    } finally {
      Object.assign(access, { signUpOpen: true });
    }
  });

  test.each([
    [{ email: 'no address', password: PASSWORD }, 'email: must be an e-mail address'],
    [{ email: 'admin@localhost', password: PASSWORD }, 'email: must be an e-mail address'],
    [{ email: 'a@example.org', password: 'short' }, 'password: must have at least 8 characters'],
    [
      { email: 'a@example.org', password: 'PassWord1' },
      'password: is one of the most common passwords; choose another',
    ],
    [{ email: 'a@example.org', password: 'x'.repeat(257) }, 'password: must have at most 256 characters'],
    [{ email: 'a@example.org' }, 'password: Invalid input: expected string, received undefined'],
    [
      { email: 'a@example.org', password: PASSWORD, name: 'a\nb' },
      'name: must not contain control characters',
    ],
    [{ email: 'a@example.org', password: PASSWORD, admin: true }, 'Unrecognized key: "admin"'],
  ])('%j is refused', async (json, message) => {
    const { status, body } = await signUp(json);
    expect([status, body.error]).toMatchObject([400, { code: 'invalid_request', message }]);
  });
});

describe('logging in', () => {
  test('answers a token for the own team', async () => {
    const { user, team } = await newPerson(plane);
    const { status, body } = await logIn(user.email.toUpperCase(), PASSWORD);
    expect([status, body.user, body.team]).toEqual([200, user, team]);
    expect((await ask(plane, 'GET', '/v1/sandboxes', { token: body.token })).status).toBe(200);
  });

  test('an unknown e-mail and a wrong password have the same answer after the same time', async () => {
    const { user } = await newPerson(plane);
    const times = { known: [] as number[], unknown: [] as number[], withoutPassword: [] as number[] };
    const answers = new Set<string>();
    const attempt = async (kind: keyof typeof times, email: string) => {
      const begin = performance.now();
      const { status, body } = await logIn(email, 'not the password');
      times[kind].push(performance.now() - begin);
      const { code, message } = body.error;
      answers.add(`${status} ${code} ${message}`);
    };
    for (let round = 0; round < 15; round++) {
      await attempt('known', user.email);
      await attempt('unknown', `nobody${round}@example.org`);
      // Has no password at all: the local admin.
      await attempt('withoutPassword', 'user1@example.org');
    }
    expect([...answers]).toEqual(['401 unauthorized e-mail or password is wrong']);
    const median = (values: number[]) => values.sort((a, b) => a - b)[7]!;
    const known = median(times.known);
    // Without a hash to check an answer would take a tenth of the time.
    for (const other of [median(times.unknown), median(times.withoutPassword)]) {
      expect(other).toBeGreaterThan(known / 2);
      expect(other).toBeLessThan(known * 2);
    }
  });

  test('a password that was hashed at a lower cost is hashed again', async () => {
    const { user } = await newPerson(plane);
    const { accounts } = plane.services.store.system;
    const strong = (await accounts.userByEmail(user.email))!.password_hash!;
    const weak = await hashPassword(PASSWORD, { memoryKib: 64, passes: 1, lanes: 1 });
    await accounts.replacePasswordHash(user.id, strong, weak);
    expect((await logIn(user.email, 'not the password')).status).toBe(401);
    expect((await accounts.userByEmail(user.email))?.password_hash).toBe(weak);
    expect((await logIn(user.email, PASSWORD)).status).toBe(200);
    const now = (await accounts.userByEmail(user.email))!.password_hash!;
    expect(now).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect((await logIn(user.email, PASSWORD)).status).toBe(200);
    expect((await accounts.userByEmail(user.email))?.password_hash).toBe(now);
  });
});

describe('tokens', () => {
  test('work wherever API keys do, and those that are over, foreign or changed do not', async () => {
    const { token, user, team } = await newPerson(plane);
    const created = await ask<{ id: string }>(plane, 'POST', '/v1/sandboxes', { token, json: {} });
    expect(created.status).toBe(201);
    expect((await plane.request(`/v1/sandboxes/${created.body.id}`)).status).toBe(404);

    const session = { userId: user.id, teamId: team.id };
    const { accounts } = plane.services.store.system;
    const secret = await accounts.secret('session-tokens', new Uint8Array(32));
    const old = await new SessionTokens(secret, () => Date.now() - 6 * 3_600_000 - 1000).issue(session);
    const foreign = await new SessionTokens(new Uint8Array(32)).issue(session);
    for (const bad of [old.token, foreign.token, `${token}x`, 'eyJ.eyJ.eyJ']) {
      const { status, body } = await ask<Refusal>(plane, 'GET', '/v1/me', { token: bad });
      expect([status, body.error]).toMatchObject([
        401,
        { code: 'unauthorized', message: 'this login is over. Log in again.' },
      ]);
    }
  });

  test('two control planes on one database accept each other’s', async () => {
    const { services } = plane;
    const other = createApi({ ...services, access: await openAccess(services.store, services.access) });
    const { token } = await newPerson(plane);
    const me = await other.request('/v1/me', { headers: { authorization: `Bearer ${token}` } }, {});
    expect(me.status).toBe(200);
    const json = { email: 'elsewhere@example.org', password: PASSWORD };
    const headers = { 'content-type': 'application/json' };
    const signedUp = await other.request(
      '/v1/auth/signup',
      { method: 'POST', headers, body: JSON.stringify(json) },
      {},
    );
    const there = ((await signedUp.json()) as Session).token;
    expect((await ask<Me>(plane, 'GET', '/v1/me', { token: there })).body.user?.email).toBe(json.email);
  });

  test('open the exec stream, in a header or in the first message', async () => {
    const { token } = await newPerson(plane);
    const { body } = await ask<{ id: string }>(plane, 'POST', '/v1/sandboxes', { token, json: {} });
    plane.host.script({
      exec: async function* () {
        yield { message: { case: 'exited' as const, value: { exitCode: 7, signal: 0 } } };
      },
    });
    const url = `${plane.url.replace('http', 'ws')}/v1/sandboxes/${body.id}/exec/stream`;
    const start = { type: 'start', cmd: 'true' };
    const inHeader = new WebSocket(url, { headers: { authorization: `Bearer ${token}` } });
    expect(await exitCode(inHeader, [start])).toBe(7);
    expect(await exitCode(new WebSocket(url), [{ type: 'auth', token }, start])).toBe(7);
  });

  test('an open stream ends when its caller loses access', async () => {
    const owner = await newPerson(plane);
    const { token, team } = owner;
    const made = await ask<CreatedApiKey>(plane, 'POST', '/v1/api-keys', { token, json: { name: 'short' } });
    const { body } = await ask<{ id: string }>(plane, 'POST', '/v1/sandboxes', { token, json: {} });
    plane.host.script({
      exec: async function* (_requests, { signal }) {
        yield { message: { case: 'started' as const, value: { pid: 7 } } };
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      },
    });
    const url = `${plane.url.replace('http', 'ws')}/v1/sandboxes/${body.id}/exec/stream`;
    const socket = new WebSocket(url, { headers: { 'x-api-key': made.body.key } });
    socket.on('open', () => socket.send(JSON.stringify({ type: 'start', cmd: 'sleep' })));
    await new Promise((resolve) => socket.once('message', resolve));
    const closed = new Promise<number>((resolve) => socket.once('close', resolve));
    await ask(plane, 'DELETE', `/v1/api-keys/${made.body.id}`, { token });
    expect(await closed).toBe(4401);
    expect(team.role).toBe('owner');
  }, 20_000);
});

describe('API keys', () => {
  test('act for who made them: as much as a member, never as an owner', async () => {
    const { token, team } = await newPerson(plane);
    const { body } = await ask<CreatedApiKey>(plane, 'POST', '/v1/api-keys', { token, json: { name: 'ci' } });
    const me = await ask<Me>(plane, 'GET', '/v1/me', { token: body.key });
    expect(me.body).toEqual({
      user: null,
      api_key: { id: body.id, name: 'ci' },
      team: { ...team, role: 'admin' },
    });
    const refused = await ask<Refusal>(plane, 'POST', '/v1/teams', { token: body.key, json: { name: 'x' } });
    expect([refused.status, refused.body.error]).toMatchObject([403, { code: 'forbidden' }]);
    const teams = await ask(plane, 'GET', '/v1/teams', { token: body.key });
    expect(teams.body).toEqual({ teams: [{ ...team, role: 'admin' }], next_cursor: null });
    const switched = await ask<Refusal>(plane, 'POST', '/v1/auth/switch-team', {
      token: body.key,
      json: { team_id: team.id },
    });
    expect(switched.status).toBe(403);
  });

  test('are dead the moment they are deleted', async () => {
    const { token } = await newPerson(plane);
    const { body } = await ask<CreatedApiKey>(plane, 'POST', '/v1/api-keys', { token, json: { name: 'ci' } });
    expect((await ask(plane, 'GET', '/v1/sandboxes', { token: body.key })).status).toBe(200);
    expect((await ask(plane, 'DELETE', `/v1/api-keys/${body.id}`, { token })).status).toBe(204);
    expect((await ask(plane, 'GET', '/v1/sandboxes', { token: body.key })).status).toBe(401);
  });
});

/** Sends messages and answers the exit code that comes back. */
function exitCode(socket: WebSocket, messages: readonly object[]): Promise<number> {
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('closed')));
    socket.on('open', () => {
      for (const message of messages) socket.send(JSON.stringify(message));
    });
    socket.on('message', (data) => {
      const message = JSON.parse(String(data)) as { type: string; exit_code: number };
      if (message.type === 'exit') resolve(message.exit_code);
      if (message.type === 'error') reject(new Error(String(data)));
    });
  });
}
