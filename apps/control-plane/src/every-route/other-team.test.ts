import type { CreatedApiKey, Session } from '@dormouse/contracts';
import { HostService } from '@dormouse/host-api';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';
import { ask, newPerson, type Refusal } from '../testing/people.js';
import { exampleOf, type Operation, type Operations, operationsOf } from './operations.js';

/** What the other team has, by where its ids stand in paths. */
interface Belongings {
  readonly session: Session;
  /** By the path up to the parameter. */
  readonly inPath: Readonly<Record<string, readonly string[]>>;
  /** By the name of a field of a body. */
  readonly inBody: Readonly<Record<string, string>>;
}

/** Calls that ask a host about itself, not about anybody's things. */
const HARMLESS = new Set<string>(['getHost', 'listTemplates']);

/** Fields of bodies that look like ids or names of things and are none. */
const NO_REFERENCES = new Set(['name', 'email', 'role']);

/** Fields of bodies that refer to things. */
const REFERENCE_PATTERN = /(^|_)(id|ids|name|template|snapshot|sandbox|team|user|parent|project|from)$/;

let plane: TestControlPlane;
let operations: Operations;
let theirs: Belongings;
let ours: { token: string; key: string };
let hostCalls: string[];

beforeAll(async () => {
  plane = await startTestControlPlane();
  operations = operationsOf(plane.services);
  theirs = await belongings(await newPerson(plane, 'them'));
  const { token } = await newPerson(plane, 'us');
  const key = await ask<CreatedApiKey>(plane, 'POST', '/v1/api-keys', { token, json: { name: 'ours' } });
  ours = { token, key: key.body.key };
  hostCalls = [];
  plane.host.script(
    Object.fromEntries(
      HostService.methods
        .filter(({ localName }) => !HARMLESS.has(localName))
        .map(({ localName }) => [
          localName,
          () => {
            hostCalls.push(localName);
            throw new Error(`${localName} was called`);
          },
        ]),
    ),
  );
}, 60_000);
afterAll(() => plane.close(), 60_000);

async function belongings(session: Session): Promise<Belongings> {
  const { token, team, user } = session;
  const made = async <Body = { id: string }>(path: string, json: unknown) =>
    (await ask<Body>(plane, 'POST', path, { token, json })).body;
  const sandbox = await made('/v1/sandboxes', { metadata: { secret: 'theirs' } });
  const snapshot = await made('/v1/snapshots', { sandbox_id: sandbox.id, name: 'their-snapshot' });
  const project = await made('/v1/projects', { name: 'their-project' });
  const build = await made('/v1/templates', { name: 'their-template' });
  const key = await made('/v1/api-keys', { name: 'theirs' });
  const webhook = await made('/v1/webhooks', { url: 'https://theirs.example.org/' });
  const delivery = await made(`/v1/webhooks/${webhook.id}/test`, {});
  return {
    session,
    inPath: {
      '/v1/sandboxes/': [sandbox.id],
      '/v1/sandboxes/{id}/processes/': ['7'],
      '/v1/snapshots/': [snapshot.id, 'their-snapshot'],
      '/v1/projects/': [project.id, 'their-project'],
      '/v1/templates/builds/': [build.id],
      '/v1/api-keys/': [key.id],
      '/v1/webhooks/': [webhook.id],
      '/v1/webhooks/{id}/deliveries/': [delivery.id],
      '/v1/teams/': [team.id],
      '/v1/teams/{id}/members/': [user.id],
    },
    inBody: {
      sandbox_id: sandbox.id,
      template: 'their-snapshot',
      from: 'their-snapshot',
      team_id: team.id,
      user: 'root',
    },
  };
}

/** Every address of a route that names the other team's things; every parameter must be known. */
function addresses({ name, path }: Operation): string[] {
  let made = [''];
  let before = '';
  for (const part of path.split(/(\{[a-z_]+\})/)) {
    if (!part.startsWith('{')) {
      made = made.map((head) => head + part);
    } else {
      const ids = theirs.inPath[before];
      expect(ids, `${name}: say in this test what ${part} of another team is`).toBeDefined();
      made = made.flatMap((head) => ids!.map((id) => head + encodeURIComponent(id)));
    }
    before += part;
  }
  return made;
}

/** The fields of a route's body that refer to something a team has. */
function references({ name, body }: Operation): string[] {
  if (body === undefined) return [];
  return Object.keys(body.properties ?? {}).filter((field) => {
    if (NO_REFERENCES.has(field) || !REFERENCE_PATTERN.test(field)) return false;
    expect(theirs.inBody[field], `${name}: say in this test what ${field} of another team is`).toBeDefined();
    return true;
  });
}

/** A valid request, but for what it refers to. */
function query({ parameters }: Operation): string {
  const required = parameters.filter(({ in: place, required }) => place === 'query' && required);
  const values = required.map(({ name, schema }) => [name, String(exampleOf(schema!, operations.resolve))]);
  const text = new URLSearchParams(values as [string, string][]).toString();
  return text === '' ? '' : `?${text}`;
}

function validBody(operation: Operation): Record<string, unknown> | undefined {
  if (operation.body === undefined) return undefined;
  return exampleOf(operation.body, operations.resolve) as Record<string, unknown>;
}

async function expectUnknown(operation: Operation, address: string, json: unknown): Promise<void> {
  for (const token of [ours.token, ours.key]) {
    const answer = await ask<Refusal>(plane, operation.method, `${address}${query(operation)}`, {
      token,
      json,
    });
    const seen = [operation.name, address, answer.status, answer.body?.error?.code];
    // A key has one team and switches to none.
    const expected =
      operation.path === '/v1/auth/switch-team' && token === ours.key
        ? [403, 'forbidden']
        : [404, 'not_found'];
    expect(seen).toEqual([operation.name, address, ...expected]);
    expect(JSON.stringify(answer.body)).not.toContain('theirs');
  }
}

describe('hazard 14: every route of the OpenAPI document', () => {
  test('answers 404 to another team’s ids in its path, and asks no host', async () => {
    const withIds = operations.all.filter(({ path }) => path.includes('{'));
    expect(withIds.length).toBeGreaterThanOrEqual(25);
    let asked = 0;
    for (const operation of withIds) {
      for (const address of addresses(operation)) {
        if (operation.statuses.has(101)) expect(await closeCode(address)).toBe(4404);
        else await expectUnknown(operation, address, validBody(operation));
        asked += 1;
      }
    }
    expect(asked).toBeGreaterThanOrEqual(withIds.length);
    expect(hostCalls).toEqual([]);
  });

  test('answers 404 to another team’s ids and names in its body', async () => {
    const named: string[] = [];
    for (const operation of operations.all.filter(({ path }) => !path.includes('{'))) {
      for (const field of references(operation)) {
        named.push(`${operation.name} ${field}`);
        const json = { ...validBody(operation), [field]: theirs.inBody[field] };
        await expectUnknown(operation, operation.path, json);
      }
    }
    expect(named).toEqual([
      'POST /v1/sandboxes template',
      'POST /v1/snapshots sandbox_id',
      'POST /v1/projects template',
      'POST /v1/templates from',
      'POST /v1/auth/switch-team team_id',
    ]);
    expect(hostCalls).toEqual([]);
  });

  test('lists nothing of another team', async () => {
    const lists = operations.all.filter(
      ({ method, path, isPublic }) => method === 'GET' && !path.includes('{') && !isPublic,
    );
    expect(lists.length).toBeGreaterThanOrEqual(7);
    const secrets = [...Object.values(theirs.inPath).flat(), theirs.session.user.email].filter(
      // Short ones are numbers, which turn up anywhere.
      (id) => id.length > 4,
    );
    for (const { path } of lists) {
      for (const token of [ours.token, ours.key]) {
        const answer = await ask(plane, 'GET', path, { token });
        expect([path, answer.status]).toEqual([path, 200]);
        const text = JSON.stringify(answer.body);
        for (const secret of secrets) expect(text).not.toContain(secret);
      }
    }
  });

  test('refuses whoever does not say who they are, before anything else', async () => {
    for (const { name, method, path, isPublic } of operations.all) {
      if (isPublic) continue;
      const { status } = await ask(plane, method, path.replaceAll(/\{[a-z_]+\}/g, 'x'));
      expect([name, status]).toEqual([name, 401]);
    }
    expect(operations.all.filter(({ isPublic }) => isPublic).map(({ name }) => name)).toEqual([
      'POST /v1/auth/signup',
      'POST /v1/auth/login',
      'GET /healthz',
      'GET /readyz',
      'GET /metrics',
    ]);
  });

  test('leaves what is the other team’s as it was', async () => {
    const { token, team } = theirs.session;
    for (const [place, ids] of Object.entries(theirs.inPath)) {
      if (/\{|api-keys/.test(place)) continue;
      for (const id of ids) expect((await ask(plane, 'GET', `${place}${id}`, { token })).status).toBe(200);
    }
    const keys = await ask<{ api_keys: { id: string }[] }>(plane, 'GET', '/v1/api-keys', { token });
    expect(keys.body.api_keys.map(({ id }) => id)).toEqual(theirs.inPath['/v1/api-keys/']);
    const members = await ask<{ members: object[] }>(plane, 'GET', `/v1/teams/${team.id}/members`, { token });
    expect(members.body.members).toHaveLength(1);
  });
});

/** How a stream ends that begins with what there is no right to. */
function closeCode(address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${plane.url.replace('http', 'ws')}${address}`, {
      headers: { authorization: `Bearer ${ours.token}` },
    });
    socket.on('error', reject);
    socket.on('open', () => socket.send('{"type":"start","cmd":"true"}'));
    socket.on('close', resolve);
  });
}
