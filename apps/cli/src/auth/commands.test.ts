import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { buildProgram } from '../program.js';
import { writeLogin } from './login-file.js';

const ADA = '0198c0de-7a5e-4c3e-9a51-3f6d2b8e4c02';
const TEAMS = ['0198c0de-7a5e-4c3e-9a51-3f6d2b8e4c01', '0198c0de-7a5e-4c3e-9a51-3f6d2b8e4c03'];
const at = '2026-01-31T09:30:00.000Z';
const later = new Date(Date.now() + 3_600_000).toISOString();
const user = { id: ADA, email: 'ada@example.org', name: null, created_at: at };
const team = (index: number, name: string) => ({ id: TEAMS[index], name, role: 'owner', created_at: at });
const session = (index: number, name: string) => ({
  token: `eyJ.${name}.b`,
  expires_at: later,
  user,
  team: team(index, name),
});
const member = { user_id: ADA, email: 'ada@example.org', name: 'Ada', role: 'admin', joined_at: at };

/** What the server answers, by method and path. */
const ANSWERS: Readonly<Record<string, readonly [number, unknown]>> = {
  'POST /v1/auth/signup': [201, session(0, 'Engines')],
  'POST /v1/auth/login': [200, session(0, 'Engines')],
  'POST /v1/auth/switch-team': [200, session(1, 'Looms')],
  'GET /v1/me': [200, { user, api_key: null, team: team(0, 'Engines') }],
  'GET /v1/teams': [200, { teams: [team(1, 'Looms'), team(0, 'Engines')], next_cursor: null }],
  'POST /v1/teams': [201, team(1, 'Looms')],
  [`PATCH /v1/teams/${TEAMS[1]}`]: [200, team(1, 'Mills')],
  [`GET /v1/teams/${TEAMS[0]}/members`]: [200, { members: [member], next_cursor: null }],
  [`POST /v1/teams/${TEAMS[0]}/members`]: [201, member],
  [`PATCH /v1/teams/${TEAMS[0]}/members/${ADA}`]: [200, member],
  [`DELETE /v1/teams/${TEAMS[0]}/members/${ADA}`]: [204, undefined],
  'GET /v1/audit': [
    200,
    {
      entries: [
        {
          id: '7',
          at,
          actor: 'ada@example.org',
          user_id: ADA,
          api_key_id: null,
          action: 'sandbox.fork',
          target: 'sb1',
          details: { made: ['sb2', 'sb3'] },
          address: '192.0.2.7',
          request_id: 'req_1',
        },
      ],
      next_cursor: 'more',
    },
  ],
};

let directory: string;
let server: Server;
let url: string;
let asked: string[];
let printed: string;
const stdin = Object.getOwnPropertyDescriptor(process, 'stdin')!;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'dormouse-auth-'));
  asked = [];
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (piece) => {
      body += piece;
    });
    request.on('end', () => {
      const name = `${request.method} ${request.url?.split('?')[0]}`;
      const who = request.headers.authorization ?? request.headers['x-api-key'] ?? 'nobody';
      asked.push(`${who}: ${name} ${body}`.trim());
      const [status, answer] = ANSWERS[name] ?? [500, {}];
      response.writeHead(status).end(answer === undefined ? undefined : JSON.stringify(answer));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  vi.stubEnv('XDG_CONFIG_HOME', directory);
  vi.stubEnv('DORMOUSE_API_URL', url);
  vi.stubEnv('DORMOUSE_API_KEY', undefined);
  vi.stubEnv('DORMOUSE_DATA', join(directory, 'data'));
  printed = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += String(text);
    return true;
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  Object.defineProperty(process, 'stdin', stdin);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(directory, { recursive: true });
});

/** Runs a command and answers what it printed. */
async function dormouse(line: string, password?: string): Promise<string> {
  if (password !== undefined) {
    Object.defineProperty(process, 'stdin', { ...stdin, get: () => Readable.from([`${password}\n`]) });
  }
  printed = '';
  await buildProgram({ json: true }).parseAsync(line.split(' '), { from: 'user' });
  return printed;
}

const loginsFile = () => readFileSync(join(directory, 'dormouse', 'logins.json'), 'utf8');

test('signing up and logging in keep a token, which commands send from then on, and logging out forgets it', async () => {
  const told = `ada@example.org, owner of Engines, until ${later}\n`;
  expect(await dormouse('auth signup ada@example.org --name Ada', 'secret words')).toBe(told);
  expect(await dormouse('auth login ada@example.org', 'secret words')).toBe(told);
  expect(await dormouse('auth whoami')).toBe('ada@example.org, owner of Engines\n');
  expect(loginsFile()).toContain('eyJ.Engines.b');
  expect(loginsFile()).not.toContain('secret words');
  expect(await dormouse('auth logout')).toBe(`logged out of ${url}\n`);
  expect(await dormouse('auth logout --json')).toBe(`${JSON.stringify({ apiUrl: url, loggedOut: false })}\n`);
  expect(asked).toEqual([
    'nobody: POST /v1/auth/signup {"email":"ada@example.org","password":"secret words","name":"Ada"}',
    'nobody: POST /v1/auth/login {"email":"ada@example.org","password":"secret words"}',
    'Bearer eyJ.Engines.b: GET /v1/me',
  ]);
  await expect(dormouse('auth whoami')).rejects.toThrow(/^no API key: .*credentials\.json does not exist$/);
});

test('hazard 21: no answer has the token', async () => {
  const answer = await dormouse('auth login ada@example.org --json', 'secret words');
  expect(JSON.parse(answer)).toMatchObject({ apiUrl: url, user: { email: 'ada@example.org' } });
  expect(answer).not.toContain('eyJ');
});

test('a key that is named, or a data directory, goes before the login', async () => {
  await dormouse('auth login ada@example.org', 'secret words');
  await dormouse('auth whoami --api-key dor_option');
  vi.stubEnv('DORMOUSE_API_KEY', 'dor_environment');
  await dormouse('auth whoami');
  vi.stubEnv('DORMOUSE_API_KEY', undefined);
  await expect(dormouse(`auth whoami --data ${directory}`)).rejects.toThrow('no API key');
  expect(asked.slice(1)).toEqual(['dor_option: GET /v1/me', 'dor_environment: GET /v1/me']);
});

test('a login that is over is said to be, and one at another server is not used', async () => {
  const login = { token: 't', expiresAt: at, email: 'ada@example.org', team: 'Engines' };
  writeLogin(url, login);
  await expect(dormouse('auth whoami')).rejects.toMatchObject({
    code: 'unauthorized',
    message: `your login at ${url} is over`,
    suggestion: 'Log in again: dormouse auth login ada@example.org. Or forget it: dormouse auth logout.',
  });
  await dormouse('auth logout');
  writeLogin('http://elsewhere.example.org', { ...login, expiresAt: later });
  await expect(dormouse('auth whoami')).rejects.toThrow('no API key');
  expect(asked).toEqual([]);
});

test('teams are listed, made, renamed and switched to', async () => {
  await dormouse('auth login ada@example.org', 'secret words');
  expect((await dormouse('team ls')).split('\n').map((line) => line.split(/ {2,}/).slice(0, 4))).toEqual([
    ['', 'ID', 'NAME', 'ROLE'],
    ['', TEAMS[1], 'Looms', 'owner'],
    ['*', TEAMS[0], 'Engines', 'owner'],
    [''],
  ]);
  expect(JSON.parse(await dormouse('team ls --json'))).toMatchObject([{ current: false }, { current: true }]);
  expect(await dormouse('team create Looms')).toBe(`${TEAMS[1]}\n`);
  expect(JSON.parse(await dormouse('team rename Mills --team Looms --json'))).toMatchObject({
    name: 'Mills',
  });
  await dormouse('team switch Looms');
  expect(loginsFile()).toContain('eyJ.Looms.b');
  expect(asked.at(-1)).toBe(`Bearer eyJ.Engines.b: POST /v1/auth/switch-team {"team_id":"${TEAMS[1]}"}`);
  await expect(dormouse('team switch Nowhere')).rejects.toThrow('you are in no team Nowhere');
});

test('members are listed, added, changed and removed, by e-mail', async () => {
  await dormouse('auth login ada@example.org', 'secret words');
  expect(await dormouse('team members')).toMatch(
    /^E-MAIL +ROLE +NAME +IN +ID\nada@example\.org +admin +Ada /,
  );
  expect(await dormouse('team add ada@example.org --role admin')).toBe('ada@example.org admin\n');
  expect(JSON.parse(await dormouse('team role ADA@example.org admin --json'))).toMatchObject({ userId: ADA });
  expect(await dormouse(`team rm ${ADA}`)).toBe('ada@example.org\n');
  await expect(dormouse('team rm nobody@example.org')).rejects.toThrow(
    'nobody@example.org is not in the team Engines',
  );
  const changes = asked.filter((line) => / (POST|PATCH|DELETE) \/v1\/teams/.test(line));
  expect(changes.map((line) => line.replace('Bearer eyJ.Engines.b: ', ''))).toEqual([
    `POST /v1/teams/${TEAMS[0]}/members {"email":"ada@example.org","role":"admin"}`,
    `PATCH /v1/teams/${TEAMS[0]}/members/${ADA} {"role":"admin"}`,
    `DELETE /v1/teams/${TEAMS[0]}/members/${ADA}`,
  ]);
  await expect(dormouse('team add x@example.org --role king')).rejects.toThrow(/role/);
});

test('the audit log is shown, no more of it than wanted', async () => {
  await dormouse('auth login ada@example.org', 'secret words');
  const rows = (await dormouse('audit ls -n 1')).split('\n').map((line) => line.split(/ {2,}/));
  expect(rows).toEqual([
    ['WHEN', 'WHO', 'WHAT', 'WHICH', 'DETAILS', 'FROM'],
    [at, 'ada@example.org', 'sandbox.fork', 'sb1', 'made=sb2,sb3', '192.0.2.7'],
    [''],
  ]);
  expect(JSON.parse(await dormouse('audit ls --json --limit 1 --action sandbox.fork'))).toHaveLength(1);
  expect(asked.at(-1)).toBe('Bearer eyJ.Engines.b: GET /v1/audit');
});
