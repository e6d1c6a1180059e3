import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Sandbox } from '@dormouse/sdk';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CommandLine } from './support/command-line.js';
import { eventually } from './support/eventually.js';
import { MemoryWatch } from './support/memory-watch.js';
import { refusalOf } from './support/refusal.js';
import { MIB } from './support/scale.js';
import { servicePid } from './support/services.js';
import { freePort, type Stack, startStack } from './support/stack.js';
import { type Traces, tracesOf } from './support/traces.js';

const NOBODY = `sb${'0'.repeat(20)}`;

let stack: Stack;
let sandbox: Sandbox;
let before: Traces;

beforeAll(async () => {
  stack = await startStack();
  sandbox = await stack.client.sandboxes.create();
  // The rest of its memory comes while it runs already, over a socket of its own.
  before = await eventually('its memory is there', 60_000, async () => {
    const traces = await tracesOf(stack.dataDir);
    return traces.sockets.every((path) => !path.endsWith('/incoming.sock')) && traces;
  });
});

afterAll(async () => {
  await stack?.[Symbol.asyncDispose]();
});

/** Asks the API with the key of the stack, unless the headers say otherwise. */
function ask(method: string, path: string, init: Omit<RequestInit, 'method'> = {}): Promise<Response> {
  const headers = { 'x-api-key': stack.apiKey, ...(init.headers as Record<string, string>) };
  return fetch(`${stack.apiUrl}${path}`, { ...init, method, headers });
}

function post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return ask('POST', path, { body: text, headers: { 'content-type': 'application/json', ...headers } });
}

describe('creating a sandbox is refused', () => {
  test.each([
    ['of a template that nobody built', { template: 'no-such' }, 404, 'not_found'],
    ['of a template whose name climbs', { template: '../../etc' }, 400, 'invalid_request'],
    ['of a template that is a path', { template: '/etc/passwd' }, 400, 'invalid_request'],
    ['of a template without a name', { template: '' }, 400, 'invalid_request'],
    ['without a processor', { vcpus: 0 }, 400, 'invalid_request'],
    ['with a negative number of processors', { vcpus: -1 }, 400, 'invalid_request'],
    ['with half a processor', { vcpus: 0.5 }, 400, 'invalid_request'],
    ['with a billion processors', { vcpus: 1e9 }, 400, 'invalid_request'],
    ['with processors in words', { vcpus: 'two' }, 400, 'invalid_request'],
    ['with too little memory to start', { memory_mb: 1 }, 400, 'invalid_request'],
    ['with more memory than can be counted', { memory_mb: 1e18 }, 400, 'invalid_request'],
    ['with more memory than the host has', { memory_mb: 1_048_576 }, 503, 'no_capacity'],
    ['with a negative timeout', { timeout_sec: -1 }, 400, 'invalid_request'],
    ['with a variable that is no name', { envs: { '../x': '1' } }, 400, 'invalid_request'],
    ['with a NUL byte in a variable', { envs: { A: 'a\0b' } }, 400, 'invalid_request'],
    ['with a field that does not exist', { vcpu: 1 }, 400, 'invalid_request'],
    ['from a list', [], 400, 'invalid_request'],
    ['from null', null, 400, 'invalid_request'],
  ])('%s', async (_what, body, status, code) => {
    expect(await refusalOf(await post('/v1/sandboxes', body))).toMatchObject({ status, code });
  });
});

describe('a request is refused', () => {
  test.each([
    ['that is half JSON', '{"template":', 'application/json'],
    ['that is no JSON', 'template=base', 'application/json'],
    ['that has no body', '', 'application/json'],
    ['that says it is text', '{}', 'text/plain'],
    ['that is a form', 'template=base', 'application/x-www-form-urlencoded'],
  ])('%s', async (_what, body, type) => {
    const answer = await post('/v1/sandboxes', body, { 'content-type': type });
    expect(await refusalOf(answer)).toMatchObject({ status: 400, code: 'invalid_request' });
  });

  test.each([
    ['without a key', {}],
    ['with an empty key', { 'x-api-key': '' }],
    ['with the key of somebody else', { 'x-api-key': `dor_${'0'.repeat(64)}` }],
    ['with a key that is none', { 'x-api-key': "dor_' or 1=1 --" }],
    ['with a bearer that is none', { authorization: 'Bearer e30.e30.' }],
  ])('%s', async (_what, headers) => {
    for (const [method, path] of [
      ['GET', '/v1/sandboxes'],
      ['POST', '/v1/sandboxes'],
      ['DELETE', `/v1/sandboxes/${sandbox.id}`],
      ['GET', `/v1/sandboxes/${sandbox.id}/files?path=/etc/passwd`],
    ] as const) {
      const answer = await fetch(`${stack.apiUrl}${path}`, {
        method,
        headers: headers as Record<string, string>,
      });
      expect(await refusalOf(answer)).toMatchObject({ status: 401, code: 'unauthorized' });
    }
  });

  test.each([
    ['GET', '/'],
    ['GET', '/v1'],
    ['GET', '/v1/nothing'],
    ['PATCH', '/v1/sandboxes'],
    ['POST', `/v1/sandboxes/${NOBODY}/dance`],
    ['GET', '/..%2f..%2fetc%2fpasswd'],
  ])('for an address that does not exist: %s %s', async (method, path) => {
    expect(await refusalOf(await ask(method, path))).toMatchObject({ status: 404, code: 'not_found' });
  });

  test.each([NOBODY, 'sb', 'base', '..', '..%2f..%2fetc', `${NOBODY}%00`, "'%20or%201=1", 'é'])(
    'about a sandbox that does not exist: %s',
    async (id) => {
      // A client's URL parser takes `..` for itself; written like this it reaches the server.
      const path = `/v1/sandboxes/${id === '..' ? '%2e%2e%2f%2e%2e' : id}`;
      const answers = [
        ask('GET', path),
        ask('DELETE', path),
        post(`${path}/exec`, { cmd: 'true' }),
        ask('GET', `${path}/files?path=/etc/passwd`),
        ask('PUT', `${path}/files?path=/tmp/x`, { body: 'x' }),
        ask('DELETE', `${path}/files?path=/tmp/x`),
        ask('GET', `${path}/dir?path=/`),
        post(`${path}/dir`, { path: '/tmp/x' }),
        ask('GET', `${path}/processes`),
        ask('DELETE', `${path}/processes/1`),
        ask('GET', `${path}/logs`),
      ];
      for (const answer of answers) {
        expect(await refusalOf(await answer)).toMatchObject({ status: 404, code: 'not_found' });
      }
    },
  );

  test('that lists with a limit, a state or a cursor that is none', async () => {
    for (const query of [
      'limit=0',
      'limit=1e9',
      'limit=-1',
      'state=asleep',
      'cursor=..%2f..%2f',
      'metadata.=x',
    ]) {
      const answer = await ask('GET', `/v1/sandboxes?${query}`);
      expect(await refusalOf(answer)).toMatchObject({ status: 400, code: 'invalid_request' });
    }
  });
});

describe('in a sandbox it is refused', () => {
  test.each([
    ['nothing at all', { cmd: '' }, 400, 'invalid_request'],
    ['a command with a NUL byte', { cmd: 'a\0b' }, 400, 'invalid_request'],
    ['a program that is not there', { cmd: 'no-such-program', args: [] }, 400, 'invalid_request'],
    ['a directory that is not there', { cmd: 'true', cwd: '/no/such' }, 400, 'invalid_request'],
    ['a user that is not there', { cmd: 'true', user: 'nobody-here' }, 400, 'invalid_request'],
    ['a user whose name is a path', { cmd: 'true', user: '../root' }, 400, 'invalid_request'],
    ['a negative time', { cmd: 'true', timeout_sec: -1 }, 400, 'invalid_request'],
    ['more time than is allowed', { cmd: 'sleep 600', timeout_sec: 0.2 }, 408, 'timeout'],
  ])('to run %s', async (_what, body, status, code) => {
    const answer = await post(`/v1/sandboxes/${sandbox.id}/exec`, body);
    expect(await refusalOf(answer)).toMatchObject({ status, code });
  });

  test.each([
    ['a file that is not there', '/no/such', {}, 404, 'not_found'],
    ['a directory', '/etc', {}, 400, 'invalid_request'],
    ['a path with a NUL byte', '/etc/pass\0wd', {}, 400, 'invalid_request'],
    ['a path that is empty', '', {}, 400, 'invalid_request'],
    ['a path that is too long', `/${'x'.repeat(4096)}`, {}, 400, 'invalid_request'],
    [
      'what lies behind the end of a file',
      '/etc/passwd',
      { range: 'bytes=99999999-' },
      416,
      'range_not_satisfiable',
    ],
  ])('to read %s', async (_what, path, headers, status, code) => {
    const query = new URLSearchParams({ path });
    const answer = await ask('GET', `/v1/sandboxes/${sandbox.id}/files?${query}`, {
      headers: headers as Record<string, string>,
    });
    expect(await refusalOf(answer)).toMatchObject({ status, code });
  });

  test('hazard 14: a path that climbs stays in the sandbox', async () => {
    const credentials = `${stack.dataDir}/credentials.json`;
    expect(existsSync(credentials)).toBe(true);
    for (const path of [credentials, `../../../../../..${credentials}`, `/proc/1/root${credentials}`]) {
      for (const user of ['root', 'user']) {
        const query = new URLSearchParams({ path, user });
        const answer = await ask('GET', `/v1/sandboxes/${sandbox.id}/files?${query}`);
        expect([403, 404]).toContain((await refusalOf(answer)).status);
      }
    }
    const guest = (await sandbox.exec('cat /etc/hosts /etc/hostname 2>/dev/null; uname -n')).stdout;
    expect(guest).toContain(`${sandbox.id}\n`);
    expect(await sandbox.files.readText('../../proc/sys/kernel/hostname')).toBe(`${sandbox.id}\n`);
    expect(await readFile('/proc/sys/kernel/hostname', 'utf8')).not.toContain(sandbox.id);
  });
});

test('a JSON body of 100 MB is refused at once, and the memory of the server stays where it is', async () => {
  const pid = await servicePid(stack, 'control-plane');
  using watch = await MemoryWatch.start({ server: pid! });
  const body = `{"template":"${'x'.repeat(100_000_000)}"}`;
  for (let round = 0; round < 5; round++) {
    const answer = await post('/v1/sandboxes', body);
    expect(await refusalOf(answer)).toMatchObject({ status: 413, code: 'payload_too_large' });
  }
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(Buffer.alloc(64 * 1024, ' ')),
  });
  const chunked = await ask('POST', '/v1/sandboxes', {
    body: endless,
    headers: { 'content-type': 'application/json' },
    ...{ duplex: 'half' },
  });
  expect(await refusalOf(chunked)).toMatchObject({ status: 413, code: 'payload_too_large' });
  expect(watch.growth().server).toBeLessThan(64 * MIB);
});

test('`up` on the data directory of another `up` is one clear line, and the other does not notice', async () => {
  const cli = new CommandLine(stack);
  const ports = ['--api-port', `${await freePort()}`, '--edge-port', '0'];
  const second = await cli.run(['up', '--json', '--data', stack.dataDir, ...ports]);
  expect(second).toMatchObject({ code: 4, stdout: '' });
  expect(JSON.parse(second.stderr)).toEqual({
    error: {
      code: 'already_running',
      message: `dormouse is already up on ${stack.dataDir} (pid ${stack.pid}, ${stack.apiUrl})`,
      suggestion: 'Use it as it is, end it first, or choose another directory with --data.',
    },
  });
  expect((await sandbox.exec('echo unharmed')).stdout).toBe('unharmed\n');
});

test('`up` on the port of another `up` is one clear line and makes no data directory', async () => {
  const cli = new CommandLine(stack);
  const data = `${stack.dataDir}.tmp/other`;
  const port = new URL(stack.apiUrl).port;
  const second = await cli.run(['up', '--data', data, '--api-port', port, '--edge-port', '0']);
  expect(second).toMatchObject({ code: 4, stdout: '' });
  expect(second.stderr).toMatch(
    new RegExp(
      `^error: port ${port} is taken by .+ \\(pid \\d+\\)\\n {2}Choose another one with --api-port.+\\n$`,
    ),
  );
  expect(existsSync(data)).toBe(false);
});

test('hazard 16: after all refusals nothing is there that was not there before', async () => {
  expect(await tracesOf(stack.dataDir)).toEqual(before);
  const ids: string[] = [];
  for await (const { id } of stack.client.sandboxes.list({ state: 'running' })) ids.push(id);
  expect(ids).toEqual([sandbox.id]);
});
