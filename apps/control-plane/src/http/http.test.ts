import { createConnection } from 'node:net';
import { DormouseError } from '@dormouse/errors';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { createApi } from '../api.js';
import { openApiDocument } from '../reference/document.js';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';

let plane: TestControlPlane;
beforeAll(async () => {
  plane = await startTestControlPlane();
}, 60_000);
afterAll(() => plane.close(), 60_000);
beforeEach(() => plane.host.reset());

interface Wrong {
  readonly error: { readonly code: string; readonly message: string; readonly request_id: string };
}

async function wrong(response: Response): Promise<Wrong['error']> {
  expect(response.headers.get('content-type')).toContain('application/json');
  const body = (await response.json()) as Wrong;
  expect(Object.keys(body)).toEqual(['error']);
  expect(Object.keys(body.error)).toEqual(['code', 'message', 'request_id']);
  expect(response.headers.get('x-request-id')).toBe(body.error.request_id);
  return body.error;
}

function postJson(
  path: string,
  body: string | Uint8Array,
  headers: Record<string, string> = {},
): Promise<Response> {
  return plane.request(path, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', ...headers },
  });
}

/** Sends bytes and answers what comes back until the server closes. */
function rawExchange(bytes: string): Promise<string> {
  const { port, hostname } = new URL(plane.url);
  return new Promise((resolve, reject) => {
    const socket = createConnection(Number(port), hostname, () => socket.write(bytes));
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString();
    });
    socket.on('end', () => resolve(text));
    socket.on('error', reject);
  });
}

describe('authentication', () => {
  const HEX = '0'.repeat(64);
  test.each([
    ['no key', {}],
    ['an empty key', { 'x-api-key': '' }],
    ['an unknown key', { 'x-api-key': `dor_${HEX}` }],
    ['a key of no known kind', { 'x-api-key': 'hunter2' }],
    ['basic authentication', { authorization: 'Basic dXNlcjpwYXNz' }],
    ['an unknown bearer', { authorization: `Bearer dor_${HEX}` }],
  ])('%s is a 401', async (_name, headers) => {
    const answer = await fetch(`${plane.url}/v1/sandboxes`, { headers: headers as Record<string, string> });
    expect(answer.status).toBe(401);
    expect((await wrong(answer)).code).toBe('unauthorized');
  });

  test('the same digits work as X-API-Key, as bearer, and with the prefix of E2B', async () => {
    const { key } = plane.team;
    for (const headers of [
      { 'x-api-key': key },
      { authorization: `Bearer ${key}` },
      { 'x-api-key': key.replace('dor_', 'e2b_') },
    ]) {
      expect((await fetch(`${plane.url}/v1/sandboxes`, { headers })).status).toBe(200);
    }
  });

  test('a request without a key is refused before anything of it is read', async () => {
    const answer = await fetch(`${plane.url}/v1/sandboxes`, {
      method: 'POST',
      body: '{"vcpus": nonsense',
      headers: { 'content-type': 'application/json' },
    });
    expect(answer.status).toBe(401);
  });
});

describe('API keys', () => {
  test('are shown once, listed by prefix, used and deleted', async () => {
    const created = await postJson('/v1/api-keys', '{"name":"laptop"}');
    expect(created.status).toBe(201);
    const made = (await created.json()) as { id: string; key: string; prefix: string };
    expect(made.key).toMatch(/^dor_[0-9a-f]{64}$/);
    expect(made.prefix).toBe(made.key.slice(0, 12));

    const used = await fetch(`${plane.url}/v1/api-keys`, { headers: { 'x-api-key': made.key } });
    const text = await used.text();
    expect(text).not.toContain(made.key);
    expect(JSON.parse(text).api_keys[0]).toMatchObject({ id: made.id, name: 'laptop', prefix: made.prefix });

    expect((await plane.request(`/v1/api-keys/${made.id}`, { method: 'DELETE' })).status).toBe(204);
    expect((await fetch(`${plane.url}/v1/api-keys`, { headers: { 'x-api-key': made.key } })).status).toBe(
      401,
    );
    expect((await plane.request(`/v1/api-keys/${made.id}`, { method: 'DELETE' })).status).toBe(404);
    expect((await plane.request('/v1/api-keys/not-an-id', { method: 'DELETE' })).status).toBe(404);
  });

  test("hazard 14: another team's key cannot be seen or deleted", async () => {
    const { id } = (await (await postJson('/v1/api-keys', '{"name":"mine"}')).json()) as { id: string };
    const headers = { 'x-api-key': (await plane.newTeam()).key };
    const theirs = (await (await plane.request('/v1/api-keys', { headers })).json()) as {
      api_keys: { id: string }[];
    };
    expect(theirs.api_keys.map((key) => key.id)).not.toContain(id);
    expect((await plane.request(`/v1/api-keys/${id}`, { method: 'DELETE', headers })).status).toBe(404);
  });

  test('tell when they were used last, which is not written down with every request', async () => {
    const { key } = await plane.newTeam();
    const writes = vi.spyOn(plane.services.store.system, 'touchApiKey');
    const lastUsed = async () => {
      const answer = await plane.request('/v1/api-keys', { headers: { 'x-api-key': key } });
      const { api_keys: keys } = (await answer.json()) as {
        api_keys: { last_used_at: string | null }[];
      };
      return keys[0]!.last_used_at;
    };
    await expect.poll(lastUsed).not.toBeNull();
    const before = writes.mock.calls.length;
    const first = await lastUsed();
    expect(await lastUsed()).toBe(first);
    expect(writes.mock.calls.length).toBe(before);
    writes.mockRestore();
  });

  test('are paged', async () => {
    const page = (await (await plane.request('/v1/api-keys?limit=1')).json()) as {
      api_keys: { id: string }[];
      next_cursor: string;
    };
    const next = (await (await plane.request(`/v1/api-keys?limit=1&cursor=${page.next_cursor}`)).json()) as {
      api_keys: { id: string }[];
    };
    expect(next.api_keys[0]?.id).not.toBe(page.api_keys[0]?.id);
  });
});

describe('errors', () => {
  test('an unknown address is a 404 of the usual form', async () => {
    for (const path of [
      '/nothing',
      '/v1/nothing',
      '/v1/sandboxes/x/nothing',
      '/%2e%2e/%2e%2e/etc/passwd',
      '/v1/../../etc/passwd',
    ]) {
      const answer = await plane.request(path);
      expect(answer.status).toBe(404);
      expect((await wrong(answer)).code).toBe('not_found');
    }
  });

  test.each(['{', '{"cmd"', 'nonsense', '', '"'])('malformed JSON %j is a 400', async (body) => {
    const answer = await postJson('/v1/api-keys', body);
    expect(answer.status).toBe(400);
    expect(await wrong(answer)).toMatchObject({
      code: 'invalid_request',
      message: 'the body is not valid JSON',
    });
  });

  test.each([
    'text/plain',
    'application/xml',
    'multipart/form-data; boundary=x',
    'application/x-www-form-urlencoded',
  ])('a body of type %s where JSON belongs is a 400', async (type) => {
    const answer = await postJson('/v1/api-keys', '{"name":"x"}', { 'content-type': type });
    expect(answer.status).toBe(400);
    expect((await wrong(answer)).message).toBe(
      'the body has the wrong content type; send Content-Type: application/json',
    );
  });

  test('a JSON body of 100 MB is a 413, with and without its length announced', async () => {
    const large = Buffer.alloc(100 * 1024 * 1024, 0x20);
    const announced = await postJson('/v1/sandboxes', large);
    expect(announced.status).toBe(413);
    expect(await wrong(announced)).toMatchObject({
      code: 'payload_too_large',
      message: 'a JSON body may have 1 MiB at most',
    });
    const chunks = new ReadableStream({
      pull(controller) {
        controller.enqueue(large.subarray(0, 64 * 1024));
      },
    });
    const chunked = await plane.request('/v1/sandboxes', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: chunks,
      duplex: 'half',
    } as RequestInit);
    expect(chunked.status).toBe(413);
  });

  test('a JSON body may come in chunks, and one that may be left out may be left out in every form', async () => {
    const chunks = new ReadableStream({
      start(controller) {
        for (const part of ['{"na', 'me":"chu', 'nked"}']) controller.enqueue(Buffer.from(part));
        controller.close();
      },
    });
    const chunked = await plane.request('/v1/api-keys', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: chunks,
      duplex: 'half',
    } as RequestInit);
    expect([chunked.status, await chunked.json()]).toMatchObject([201, { name: 'chunked' }]);
    for (const length of ['', 'Content-Length: 0\r\n']) {
      const answer = await rawExchange(
        `POST /v1/sandboxes HTTP/1.1\r\nHost: x\r\nX-API-Key: ${plane.team.key}\r\n${length}Connection: close\r\n\r\n`,
      );
      expect(answer).toMatch(/^HTTP\/1\.1 201 /);
    }
  });

  test('a JSON body that is announced too large is refused before a byte of it is sent', async () => {
    const answer = await rawExchange(
      `POST /v1/sandboxes HTTP/1.1\r\nHost: x\r\nX-API-Key: ${plane.team.key}\r\nContent-Type: application/json\r\nContent-Length: 104857600\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  });

  test('hazard 21: what goes wrong inside is told to the log, not to the client', async () => {
    plane.host.script({
      listTemplates: () => {
        throw new TypeError('cannot read /secret/place');
      },
    });
    const { store } = plane.services;
    const { accounts } = store.system;
    const original = accounts.keysByLookup.bind(accounts);
    accounts.keysByLookup = async () => {
      throw new Error('relation "api_keys" lies at /secret/place');
    };
    const answer = await plane.request('/v1/sandboxes');
    accounts.keysByLookup = original;
    expect(answer.status).toBe(500);
    const { message, request_id } = await wrong(answer);
    expect(message).toBe('something went wrong here; the server log has the details');
    expect(plane.logged()).toContain('/secret/place');
    expect(plane.logged()).toContain(request_id);
  });

  test('hazard 9: while the database is away, who reads is asked to try again, and who changes is not', async () => {
    const { store } = plane.services;
    const { accounts } = store.system;
    const original = accounts.keysByLookup.bind(accounts);
    accounts.keysByLookup = async () => {
      throw Object.assign(new Error('terminating connection at /secret/place'), { code: '57P01' });
    };
    const read = await plane.request('/v1/sandboxes');
    const change = await postJson('/v1/sandboxes', '{}');
    accounts.keysByLookup = original;
    expect([read.status, read.headers.get('retry-after')]).toEqual([503, '2']);
    expect(await wrong(read)).toMatchObject({
      code: 'unavailable',
      message: 'the database does not answer. Try again in a few seconds.',
    });
    expect([change.status, change.headers.get('retry-after')]).toEqual([500, null]);
  });

  test('the errors of a host keep their code, status and advice', async () => {
    const id = await plane.createSandbox();
    for (const [code, status] of [
      ['not_found', 404],
      ['invalid_state', 409],
      ['no_space', 507],
      ['guest_unreachable', 503],
      ['boot_failed', 503],
    ] as const) {
      plane.host.script({
        listProcesses: () => {
          throw new DormouseError(code, 'it is so', { suggestion: 'Do this' });
        },
      });
      const answer = await plane.request(`/v1/sandboxes/${id}/processes`);
      expect([answer.status, await wrong(answer)]).toMatchObject([
        status,
        { code, message: 'it is so. Do this' },
      ]);
    }
  });

  test('bytes that are no HTTP get an answer of the usual form', async () => {
    const answer = await rawExchange('NONSENSE\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(JSON.parse(answer.split('\r\n\r\n')[1] ?? '')).toMatchObject({
      error: { code: 'invalid_request' },
    });
  });
});

describe('requests', () => {
  test('keep an acceptable id of their client and get one otherwise', async () => {
    const own = await plane.request('/healthz', { headers: { 'x-request-id': 'build-42.a' } });
    expect(own.headers.get('x-request-id')).toBe('build-42.a');
    for (const id of ['has space', 'x'.repeat(129), '{"forged":1}']) {
      const answer = await plane.request('/healthz', { headers: { 'x-request-id': id } });
      expect(answer.headers.get('x-request-id')).toMatch(/^req_[0-9a-f]{16}$/);
    }
  });

  test('hazard 21: are logged without keys, headers, queries and bodies', async () => {
    await plane.request('/v1/sandboxes?metadata.secret=squeamish', {
      headers: { 'x-request-id': 'find-me', authorization: 'Bearer ossifrage' },
    });
    await postJson('/v1/api-keys', '{"name":"flibbertigibbet"}');
    const log = plane.logged();
    const line = JSON.parse(log.split('\n').find((entry) => entry.includes('find-me')) ?? '{}');
    expect(line).toMatchObject({ level: 'info', method: 'GET', path: '/v1/sandboxes', status: 200 });
    expect(line.teamId).toBe(plane.team.teamId);
    for (const secret of [
      plane.team.key,
      plane.team.key.slice(4),
      'squeamish',
      'ossifrage',
      'flibbertigibbet',
    ]) {
      expect(log).not.toContain(secret);
    }
  });
});

describe('operation', () => {
  test('health, readiness and figures need no key', async () => {
    expect(await (await fetch(`${plane.url}/healthz`)).json()).toEqual({
      status: 'ok',
      version: '0.0.0-test',
    });
    expect(await (await fetch(`${plane.url}/readyz`)).json()).toEqual({
      status: 'ready',
      checks: { database: 'ok', host: 'ok' },
    });
    await plane.createSandbox();
    const text = await (await fetch(`${plane.url}/metrics`)).text();
    expect(text).toMatch(/^dormouse_sandboxes\{state="running"\} [1-9]/m);
    expect(text).toMatch(
      /^dormouse_http_request_duration_seconds_count\{method="POST",route="\/v1\/sandboxes",status="201"\} /m,
    );
    expect(text).toContain('process_resident_memory_bytes');
  });

  test('metrics are those of the host as well, and their own without it', async () => {
    const ofHost = '# HELP dormouse_host_generations x\ndormouse_host_generations{host="h"} 7\n';
    plane.host.script({ getHostMetrics: () => ({ exposition: ofHost }) });
    const text = await (await fetch(`${plane.url}/metrics`)).text();
    expect(text).toContain(`\n${ofHost}`);
    plane.host.script({
      getHostMetrics: () => {
        throw new DormouseError('unavailable', 'the agent is starting');
      },
    });
    const without = await fetch(`${plane.url}/metrics`);
    expect(without.status).toBe(200);
    expect(await without.text()).toMatch(/^dormouse_hosts\{state=.*\} \d+\n$/m);
  });

  test('readiness names what is missing', async () => {
    plane.host.script({
      getHost: () => {
        throw new DormouseError('unavailable', 'the agent is starting');
      },
    });
    const answer = await fetch(`${plane.url}/readyz`);
    expect(answer.status).toBe(503);
    expect(await answer.json()).toEqual({
      status: 'not_ready',
      checks: { database: 'ok', host: 'the agent is starting' },
    });
  });
});

describe('reference', () => {
  test('every route of the app is in the OpenAPI document, and every reference in it leads somewhere', () => {
    const app = createApi(plane.services);
    const document = openApiDocument(app, '1.2.3');
    expect(document.openapi).toBe('3.1.0');
    const described = Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const served = app.routes
      .filter(({ method, path }) => method !== 'ALL' && !/^\/(openapi\.(json|yaml)|docs)$/.test(path))
      .map(({ method, path }) => `${method} ${path.replaceAll(/:([a-z_]+)/g, '{$1}')}`);
    expect([...new Set(served)].sort()).toEqual(described.sort());
    expect(described.length).toBeGreaterThanOrEqual(24);

    const text = JSON.stringify(document);
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      expect(document.components?.schemas).toHaveProperty(String(name));
    }
    for (const [path, item] of Object.entries(document.paths ?? {})) {
      for (const operation of Object.values(item) as { summary?: string; responses?: object }[]) {
        expect([path, typeof operation.summary]).toEqual([path, 'string']);
        expect(Object.keys(operation.responses ?? {}).length).toBeGreaterThan(0);
      }
    }
  });

  test('is served as JSON, as YAML and as a page that loads and runs nothing', async () => {
    const json = (await (await fetch(`${plane.url}/openapi.json`)).json()) as { info: { title: string } };
    expect(json.info.title).toBe('Dormouse');
    const yaml = await (await fetch(`${plane.url}/openapi.yaml`)).text();
    expect(yaml).toMatch(/^openapi: 3\.1\.0$/m);
    const page = await fetch(`${plane.url}/docs`);
    const html = await page.text();
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(html).not.toMatch(/<script|src=|url\(|="https?:\/\//i);
    expect(html).toContain('Create a sandbox');
    expect(html).toContain('id="schema-Sandbox"');
  });
});
