import { expect, test } from 'vitest';
import { Client, Sandbox } from './index.js';
import {
  apiError,
  json,
  noContent,
  ScriptedServer,
  type SeenRequest,
  wireSandbox,
} from './testing/scripted-server.js';

const ADA = '0198c0de-7a5e-4c3e-9a51-3f6d2b8e4c02';
const TEAM = '0198c0de-7a5e-4c3e-9a51-3f6d2b8e4c01';
const at = '2026-01-31T09:30:00.000Z';
const wireUser = { id: ADA, email: 'ada@example.org', name: null, created_at: at };
const wireTeam = { id: TEAM, name: 'Engines', role: 'owner', created_at: at };
const wireSession = { token: 'eyJ.a.b', expires_at: at, user: wireUser, team: wireTeam };
const wireMember = { user_id: ADA, email: 'ada@example.org', name: null, role: 'admin', joined_at: at };
const user = { id: ADA, email: 'ada@example.org', name: null, createdAt: at };
const team = { id: TEAM, name: 'Engines', role: 'owner', createdAt: at };
const member = { userId: ADA, email: 'ada@example.org', name: null, role: 'admin', joinedAt: at };

const seen = ({ method, url, body }: SeenRequest) => [method, url, body === '' ? '' : JSON.parse(body)];

test('signing up and logging in need no key and send none', async () => {
  await using server = await ScriptedServer.start([json(201, wireSession), json(200, wireSession)]);
  const account = { email: 'ada@example.org', password: 'secret words' };
  process.env.DORMOUSE_API_KEY = 'dor_of_the_environment';
  try {
    const session = await Client.signUp({ ...account, name: 'Ada' }, { apiUrl: server.url });
    expect(session).toEqual({ token: 'eyJ.a.b', expiresAt: at, user, team });
    expect(await Client.logIn(account, { apiUrl: server.url })).toEqual(session);
  } finally {
    delete process.env.DORMOUSE_API_KEY;
  }
  expect(server.requests.map(seen)).toEqual([
    ['POST', '/v1/auth/signup', { ...account, name: 'Ada' }],
    ['POST', '/v1/auth/login', account],
  ]);
  for (const { headers } of server.requests) {
    expect([headers['x-api-key'], headers.authorization]).toEqual([undefined, undefined]);
  }
});

test('a token is sent as such, on every kind of request, and never in a body', async () => {
  let tokenOfSocket: string | undefined;
  await using server = await ScriptedServer.start(
    [json(200, { user: wireUser, api_key: null, team: wireTeam }), json(201, wireSandbox())],
    (socket) => {
      tokenOfSocket = server.requests.at(-1)?.headers.authorization;
      socket.close();
    },
  );
  const options = { apiUrl: server.url, token: 'eyJ.a.b', apiKey: 'dor_not_this_one' };
  expect(await new Client(options).me()).toEqual({ user, apiKey: null, team });
  const sandbox = await Sandbox.create({ ...options, template: 'base' });
  await sandbox.spawn('true').catch(() => undefined);
  expect(
    server.requests.slice(0, 2).map(({ headers }) => [headers.authorization, headers['x-api-key']]),
  ).toEqual([
    ['Bearer eyJ.a.b', undefined],
    ['Bearer eyJ.a.b', undefined],
  ]);
  expect(JSON.parse(server.requests[1]?.body ?? '')).toEqual({ template: 'base' });
  expect(tokenOfSocket).toBe('Bearer eyJ.a.b');
});

test('teams and their members', async () => {
  await using server = await ScriptedServer.start([
    json(200, { teams: [wireTeam], next_cursor: null }),
    json(201, wireTeam),
    json(200, wireTeam),
    json(200, wireTeam),
    json(200, wireSession),
    json(200, { members: [wireMember], next_cursor: 'c2' }),
    json(200, { members: [], next_cursor: null }),
    json(201, wireMember),
    json(200, wireMember),
    noContent,
  ]);
  const client = new Client({ apiUrl: server.url, token: 't' });
  const teams = [];
  for await (const one of client.teams.list()) teams.push(one);
  expect(teams).toEqual([team]);
  expect(await client.teams.create('Engines')).toEqual(team);
  expect(await client.teams.get(TEAM)).toEqual(team);
  expect(await client.teams.rename(TEAM, 'Engines')).toEqual(team);
  expect((await client.switchTeam(TEAM)).team).toEqual(team);
  const members = [];
  for await (const one of client.teams.members(TEAM)) members.push(one);
  expect(members).toEqual([member]);
  expect(await client.teams.addMember(TEAM, 'ada@example.org')).toEqual(member);
  expect(await client.teams.setRole(TEAM, ADA, 'admin')).toEqual(member);
  await client.teams.removeMember(TEAM, ADA);
  expect(server.requests.map(seen)).toEqual([
    ['GET', '/v1/teams', ''],
    ['POST', '/v1/teams', { name: 'Engines' }],
    ['GET', `/v1/teams/${TEAM}`, ''],
    ['PATCH', `/v1/teams/${TEAM}`, { name: 'Engines' }],
    ['POST', '/v1/auth/switch-team', { team_id: TEAM }],
    ['GET', `/v1/teams/${TEAM}/members`, ''],
    ['GET', `/v1/teams/${TEAM}/members?cursor=c2`, ''],
    ['POST', `/v1/teams/${TEAM}/members`, { email: 'ada@example.org' }],
    ['PATCH', `/v1/teams/${TEAM}/members/${ADA}`, { role: 'admin' }],
    ['DELETE', `/v1/teams/${TEAM}/members/${ADA}`, ''],
  ]);
});

test('the audit log is asked for page by page, with its filter', async () => {
  const entry = {
    id: '7',
    at,
    actor: 'ada@example.org',
    user_id: ADA,
    api_key_id: null,
    action: 'sandbox.fork',
    target: 'sb4f9k2m7q1x8c3v6b0n5z',
    details: { some_key: 'kept as it is' },
    address: '192.0.2.7',
    request_id: 'req_1',
  };
  await using server = await ScriptedServer.start([
    json(200, { entries: [entry], next_cursor: 'c2' }),
    json(200, { entries: [], next_cursor: null }),
  ]);
  const entries = [];
  const client = new Client({ apiUrl: server.url, token: 't' });
  for await (const one of client.audit.list({ action: 'sandbox.fork' })) entries.push(one);
  const { user_id: userId, api_key_id: apiKeyId, request_id: requestId, ...same } = entry;
  expect(entries).toEqual([{ ...same, userId, apiKeyId, requestId }]);
  expect(server.requests.map(({ url }) => url)).toEqual([
    '/v1/audit?action=sandbox.fork',
    '/v1/audit?action=sandbox.fork&cursor=c2',
  ]);
});

test('too many tries, and an e-mail that is taken, arrive as what they are', async () => {
  const account = { email: 'ada@example.org', password: 'secret words' };
  await using limited = await ScriptedServer.start([
    apiError(429, 'too_many_requests', 'too many tries', { 'retry-after': '90' }),
  ]);
  await expect(Client.logIn(account, { apiUrl: limited.url })).rejects.toMatchObject({
    code: 'too_many_requests',
    status: 429,
  });
  expect(limited.requests).toHaveLength(1);
  await using taken = await ScriptedServer.start([apiError(409, 'email_taken', 'it is taken')]);
  await expect(Client.signUp(account, { apiUrl: taken.url })).rejects.toMatchObject({
    code: 'email_taken',
    exitCode: 4,
  });
});

test('without token and key nothing is sent', () => {
  expect(() => new Client({ apiUrl: 'http://127.0.0.1:1', token: '', apiKey: '' })).toThrow('no API key');
});
