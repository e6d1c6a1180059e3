import type { CreatedApiKey, Session, WebhookDeliveryList, WebhookList } from '@dormouse/contracts';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';
import { guestScript } from '../testing/guest-script.js';
import { ask, newPerson } from '../testing/people.js';
import { exampleOf, type Operation, type Operations, operationsOf, type Schema } from './operations.js';

/** Requests for each route; more with DORMOUSE_FUZZ_RUNS. */
const RUNS = Number(process.env.DORMOUSE_FUZZ_RUNS ?? 25);

/** Rounds that a route gets to succeed at least once: a valid request is a matter of luck. */
const MOST_ROUNDS = 8;

/** Nothing here has to wait for anything. */
const MAX_ANSWER_MS = 10_000;

/** What any route may answer besides what it says: an address that leads elsewhere, a body that is too large. */
const ALWAYS_POSSIBLE = new Set([400, 401, 404]);

/** Things by what stands before their ids in paths, or by the field of a body that names them. */
type Belongings = Readonly<Record<string, string>>;

let plane: TestControlPlane;
let operations: Operations;
let ours: Session;
let them: Session;
/** What we have at this moment; replaced for each route, because some of it is deleted. */
let mine: Belongings = {};
let theirs: Belongings = {};
let secrets: readonly string[];
let credentials: readonly Record<string, string>[];

beforeAll(async () => {
  plane = await startTestControlPlane();
  plane.host.script(guestScript());
  operations = operationsOf(plane.services);
  ours = await newPerson(plane, 'us');
  them = await newPerson(plane, 'them');
  theirs = await belongings(them);
  secrets = [...Object.values(theirs), them.user.email, them.token].filter((secret) => secret.length > 4);
  const json = { name: 'to ask with' };
  const key = await ask<CreatedApiKey>(plane, 'POST', '/v1/api-keys', { token: ours.token, json });
  credentials = [
    { authorization: `Bearer ${ours.token}` },
    { 'x-api-key': key.body.key },
    { authorization: `Bearer ${ours.token.slice(0, -2)}` },
    { 'x-api-key': 'dor_x' },
    {},
  ];
}, 60_000);
afterAll(() => plane.close(), 60_000);

async function belongings({ token, team }: Session): Promise<Belongings> {
  const made = async (path: string, json: unknown) =>
    (await ask<{ id: string; name: string }>(plane, 'POST', path, { token, json })).body;
  const sandbox = await made('/v1/sandboxes', {});
  const snapshot = await made('/v1/snapshots', { sandbox_id: sandbox.id });
  const project = await made('/v1/projects', { name: `project-${sandbox.id}` });
  await made(`/v1/projects/${project.id}/open`, {});
  const moment = await made(`/v1/projects/${project.id}/save`, {});
  const build = await made('/v1/templates', { name: `template-${sandbox.id}` });
  // A log that is followed ends with its build, and one that was cancelled can be cancelled again.
  await made(`/v1/templates/builds/${build.id}/cancel`, {});
  const key = await made('/v1/api-keys', { name: 'key' });
  // A team may have some of them only, and this is asked for again and again.
  const old = await ask<WebhookList>(plane, 'GET', '/v1/webhooks', { token });
  for (const { id } of old.body.webhooks) await ask(plane, 'DELETE', `/v1/webhooks/${id}`, { token });
  const webhook = await made('/v1/webhooks', { url: 'https://hooks.example.org/' });
  // An event of its own, so that there is a delivery that can be repeated.
  await made('/v1/sandboxes', {});
  const log = `/v1/webhooks/${webhook.id}/deliveries`;
  const { deliveries } = (await ask<WebhookDeliveryList>(plane, 'GET', log, { token })).body;
  const friend = (await newPerson(plane, 'friend')).user;
  await made(`/v1/teams/${team.id}/members`, { email: friend.email });
  return {
    '/v1/sandboxes/': sandbox.id,
    '/v1/sandboxes/{id}/processes/': '7',
    '/v1/snapshots/': snapshot.name,
    '/v1/projects/': project.id,
    '/v1/templates/builds/': build.id,
    '/v1/api-keys/': key.id,
    '/v1/webhooks/': webhook.id,
    '/v1/webhooks/{id}/deliveries/': deliveries[0]!.id,
    '/v1/teams/': team.id,
    '/v1/teams/{id}/members/': friend.id,
    sandbox_id: sandbox.id,
    snapshot_id: moment.id,
    template: snapshot.id,
    team_id: team.id,
    user_id: friend.id,
  };
}

/** A request as it is sent. */
interface FuzzedRequest {
  readonly address: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array<ArrayBuffer> | undefined;
}

/** Text of every kind that is not a lone half of a character, which no URL can hold. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom(
    '',
    ' ',
    '\0',
    '..',
    '%',
    '-1',
    '0',
    '1e99',
    'NaN',
    'null',
    '[]',
    "'; --",
    'a'.repeat(5000),
  ),
);

/**
 * What may stand where something is named: what we have, what others have, what nobody has.
 *
 * @param place of {@link Belongings}
 */
function reference(place: string): fc.Arbitrary<string> {
  const [own, other] = [mine[place], theirs[place]];
  if (own === undefined || other === undefined) throw new Error(`say in this test what we have at ${place}`);
  return fc.oneof(
    { weight: 6, arbitrary: fc.constant(own) },
    { weight: 2, arbitrary: fc.constantFrom(other, ...Object.values(theirs)) },
    { weight: 1, arbitrary: text },
  );
}

function oneIn(times: number): fc.Arbitrary<boolean> {
  return fc.integer({ min: 1, max: times }).map((value) => value === 1);
}

/** Values that mostly fit a schema. */
function fitting(schema: Schema, name = ''): fc.Arbitrary<unknown> {
  const resolved = operations.resolve(schema);
  const { type, anyOf, oneOf, allOf } = resolved;
  const choices = anyOf ?? oneOf ?? allOf;
  if (choices !== undefined) return fc.oneof(...choices.map((choice) => fitting(choice)));
  if (resolved.const !== undefined) return fc.constant(resolved.const);
  if (resolved.enum !== undefined) return fc.constantFrom(...resolved.enum);
  const some: fc.Arbitrary<unknown>[] = resolved.example === undefined ? [] : [fc.constant(resolved.example)];
  switch (Array.isArray(type) ? type[0] : type) {
    case 'string':
      return name in mine ? reference(name) : fc.oneof(...some, text);
    case 'integer':
    case 'number': {
      const { minimum: min = -1000, maximum: max = 1000 } = resolved;
      return fc.oneof(...some, fc.integer({ min: Math.ceil(min), max: Math.floor(Math.min(max, 2 ** 31)) }));
    }
    case 'boolean':
      return fc.boolean();
    case 'array':
      return fc.array(fitting(resolved.items ?? {}), { maxLength: 4 });
    case 'object': {
      const fields = Object.entries(resolved.properties ?? {}).map(([name, field]) => [
        name,
        fitting(field, name),
      ]);
      const required = resolved.required ?? [];
      if (fields.length > 0) {
        return fc.record(Object.fromEntries(fields), { requiredKeys: [...required] as never[] });
      }
      return fc.dictionary(text, text, { maxKeys: 4 });
    }
    default:
      return fc.jsonValue();
  }
}

/** Bodies: as the schema has them, with one field replaced by anything, any JSON, and what is not even that. */
function bodyOf(operation: Operation): fc.Arbitrary<string | Uint8Array<ArrayBuffer> | undefined> {
  const anything = fc.oneof(
    fc.constant(undefined),
    fc.json(),
    text,
    fc.uint8Array({ maxLength: 100 }).map((bytes) => new Uint8Array(bytes)),
  );
  const { body } = operation;
  if (body === undefined) return anything;
  const fit = fitting(body);
  const spoilt = fc.tuple(fit, text, fc.jsonValue()).map(([value, name, other]) => {
    const names = Object.keys(value as object);
    const field = names.length === 0 ? name : names[name.length % names.length]!;
    return { ...(value as object), [field]: other };
  });
  return fc.oneof(
    { weight: 4, arbitrary: fit.map((value) => JSON.stringify(value)) },
    { weight: 2, arbitrary: fc.constant(JSON.stringify(exampleOf(body, operations.resolve))) },
    { weight: 2, arbitrary: spoilt.map((value) => JSON.stringify(value)) },
    { weight: 1, arbitrary: anything },
  );
}

function requestOf(operation: Operation): fc.Arbitrary<FuzzedRequest> {
  const names = operation.path.match(/\{[a-z_]+\}/g) ?? [];
  const references = names.map((name) => reference(operation.path.slice(0, operation.path.indexOf(name))));
  const path = fc
    .tuple(...references)
    .map((values) =>
      values.reduce(
        (path, value, index) => path.replace(names[index]!, () => encodeURIComponent(value)),
        operation.path,
      ),
    );
  const queries = operation.parameters.filter(({ in: place }) => place === 'query');
  const query = fc
    .tuple(
      fc.tuple(
        ...queries.map(({ name, schema = {}, required = false }) =>
          fc
            .tuple(required ? oneIn(8).map((left) => !left) : fc.boolean(), fc.oneof(fitting(schema), text))
            .map(([given, value]) => (given ? [[name, String(value)]] : [])),
        ),
      ),
      fc.array(fc.tuple(text, text), { maxLength: 1 }),
    )
    .map(([known, unknown]) =>
      new URLSearchParams([...known.flat(), ...unknown] as [string, string][]).toString(),
    );
  const takesBody = operation.method !== 'GET';
  return fc
    .record({
      path,
      query,
      body: takesBody ? bodyOf(operation) : fc.constant(undefined),
      type: fc.oneof(
        {
          weight: 6,
          arbitrary: fc.constant(operation.takesBytes ? 'application/octet-stream' : 'application/json'),
        },
        {
          weight: 1,
          arbitrary: fc.constantFrom(
            '',
            'text/plain',
            'multipart/form-data; boundary=x',
            'application/json; charset=x',
          ),
        },
      ),
      credential: fc.oneof(
        { weight: 8, arbitrary: fc.constantFrom(...credentials.slice(0, 2)) },
        { weight: 1, arbitrary: fc.constantFrom(...credentials.slice(2)) },
      ),
      range: fc.constantFrom(undefined, undefined, 'bytes=0-1', 'bytes=9-', 'bytes=x'),
    })
    .map(({ path, query, body, type, credential, range }) => ({
      address: query === '' ? path : `${path}?${query}`,
      headers: {
        ...credential,
        ...(body === undefined || type === '' ? {} : { 'content-type': type }),
        ...(range === undefined ? {} : { range }),
      },
      body,
    }));
}

/**
 * The documented example comes first, where there is one: whoever signs up with it and another password keeps all
 * later logins out.
 */
function exampleRequests({ path, body, takesBytes }: Operation): [FuzzedRequest][] {
  if (body === undefined || takesBytes || path.includes('{')) return [];
  const headers = { ...credentials[0], 'content-type': 'application/json' };
  return [[{ address: path, headers, body: JSON.stringify(exampleOf(body, operations.resolve)) }]];
}

/** @returns whether the request succeeded */
async function check(operation: Operation, { address, headers, body }: FuzzedRequest): Promise<boolean> {
  const response = await fetch(`${plane.url}${address}`, {
    method: operation.method,
    headers,
    signal: AbortSignal.timeout(MAX_ANSWER_MS),
    ...(body === undefined ? {} : { body }),
  });
  const answer = await response.text();
  const { status } = response;
  const context = `${operation.name}: ${operation.method} ${address} → ${status} ${answer.slice(0, 500)}`;
  if (!operation.statuses.has(status) && !ALWAYS_POSSIBLE.has(status))
    throw new Error(`undocumented: ${context}`);
  if (status >= 500) throw new Error(`failed: ${context}`);
  if (status >= 400) {
    const told = JSON.parse(answer) as { error: Record<string, unknown> };
    expect([Object.keys(told), Object.keys(told.error)]).toEqual([
      ['error'],
      ['code', 'message', 'request_id'],
    ]);
    for (const value of Object.values(told.error)) expect(typeof value).toBe('string');
    expect(told.error.request_id).toBe(response.headers.get('x-request-id'));
    return false;
  }
  if (!operation.isPublic && !('x-api-key' in headers) && !('authorization' in headers)) {
    throw new Error(`answered a stranger: ${context}`);
  }
  for (const secret of secrets) {
    // What the request itself says may come back: the name of a new key, a path in the sandbox.
    const said = `${decodeURIComponent(address.replaceAll('+', ' '))} ${String(body)}`;
    if (answer.includes(secret) && !said.includes(secret)) throw new Error(`unscoped: ${context}`);
  }
  return response.ok;
}

test('hazard 14: whatever is sent to whichever route, it answers soon, as documented, in the form of errors, and never with a 500 or what is another team’s', async () => {
  expect(operations.all.length).toBeGreaterThanOrEqual(40);
  const failing: string[] = [];
  for (const operation of operations.all) {
    mine = await belongings(ours);
    let succeeded = operation.statuses.has(101);
    const property = fc.asyncProperty(requestOf(operation), async (request) => {
      if (await check(operation, request)) succeeded = true;
    });
    for (let round = 0; round === 0 || (round < MOST_ROUNDS && !succeeded); round++) {
      await fc.assert(property, { numRuns: RUNS, endOnFailure: true, examples: exampleRequests(operation) });
    }
    if (!succeeded) failing.push(operation.name);
  }
  // Requests that are all refused at the door would prove little.
  expect(failing).toEqual([]);
  // The fuzzing itself must not have broken anything: everybody still gets in.
  for (const headers of credentials.slice(0, 2)) {
    expect((await fetch(`${plane.url}/v1/me`, { headers })).status).toBe(200);
  }
  expect(plane.logged()).not.toContain('request failed');
}, 600_000);
