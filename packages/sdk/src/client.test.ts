import { createServer } from 'node:net';
import { DormouseError } from '@dormouse/errors';
import { expect, test } from 'vitest';
import { ApiError, Client, Sandbox } from './index.js';
import { apiError, json, noContent, ScriptedServer, wireSandbox } from './testing/scripted-server.js';

const ID = 'sb4f9k2m7q1x8c3v6b0n5z';

async function thrownBy(work: () => Promise<unknown>): Promise<DormouseError> {
  const outcome = await work().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(outcome).toBeInstanceOf(DormouseError);
  return outcome as DormouseError;
}

const options = (server: ScriptedServer) => ({ apiUrl: server.url, apiKey: 'dor_key' });

test('leaving the scope of a created sandbox deletes it', async () => {
  await using server = await ScriptedServer.start([json(201, wireSandbox()), noContent]);
  {
    await using sandbox = await Sandbox.create({ template: 'base', memoryMb: 512, ...options(server) });
    expect(sandbox.info.memoryMb).toBe(512);
    expect(sandbox.info.metadata).toEqual({ some_key: 'kept as it is' });
  }
  expect(server.requests.map(({ method, url }) => `${method} ${url}`)).toEqual([
    'POST /v1/sandboxes',
    `DELETE /v1/sandboxes/${ID}`,
  ]);
  expect(JSON.parse(server.requests[0]?.body ?? '')).toEqual({ template: 'base', memory_mb: 512 });
  expect(server.requests[0]?.headers['x-api-key']).toBe('dor_key');
});

test('a sandbox that is kept, or was only connected to, stays', async () => {
  await using server = await ScriptedServer.start([json(200, wireSandbox())]);
  {
    await using kept = (await Sandbox.create(options(server))).keep();
    await using connected = await Sandbox.connect(ID, options(server));
    expect([kept.id, connected.id]).toEqual([ID, ID]);
  }
  expect(server.requests.map(({ method }) => method)).toEqual(['POST', 'GET']);
});

test('lists ask for the next page when it is needed, and filters reach the query', async () => {
  await using server = await ScriptedServer.start([
    json(200, { sandboxes: [wireSandbox()], next_cursor: 'c2' }),
    json(200, { sandboxes: [wireSandbox('sb0000000000000000000b')], next_cursor: null }),
  ]);
  const ids: string[] = [];
  const filter = { state: 'running', metadata: { purpose: 'a b' } } as const;
  for await (const { id } of Sandbox.list({ ...filter, ...options(server) })) ids.push(id);
  expect(ids).toEqual([ID, 'sb0000000000000000000b']);
  expect(server.requests.map(({ url }) => url)).toEqual([
    '/v1/sandboxes?state=running&metadata.purpose=a+b',
    '/v1/sandboxes?state=running&cursor=c2&metadata.purpose=a+b',
  ]);
});

test("the server's error arrives with code, status and request id", async () => {
  await using server = await ScriptedServer.start([apiError(404, 'not_found', 'there is no such sandbox')]);
  const error = await thrownBy(() => Sandbox.connect(ID, options(server)));
  expect(error).toBeInstanceOf(ApiError);
  expect(error).toMatchObject({
    code: 'not_found',
    message: 'there is no such sandbox',
    status: 404,
    requestId: 'req_1',
    exitCode: 3,
  });
});

test('an answer that is not of the API is told by its status', async () => {
  await using server = await ScriptedServer.start([
    (_request, response) => {
      response.writeHead(413).end('<html>too large</html>');
    },
  ]);
  const error = await thrownBy(() => Sandbox.create(options(server)));
  expect(error).toMatchObject({
    code: 'payload_too_large',
    message: 'the server answered HTTP 413',
    requestId: undefined,
  });
});

test('an answer that breaks the contract is an error, not a wrong value', async () => {
  await using server = await ScriptedServer.start([json(200, { id: ID })]);
  const error = await thrownBy(() => Sandbox.connect(ID, options(server)));
  expect(error.code).toBe('internal');
  expect(error.message).toBe(`GET /v1/sandboxes/${ID}: the server's answer is not what the API promises`);
});

test('nobody listening is said plainly', async () => {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  const client = new Client({ apiUrl: `http://127.0.0.1:${port}`, apiKey: 'k' });
  const error = await thrownBy(() => client.health());
  expect([error.code, error.message]).toEqual([
    'unavailable',
    `cannot reach http://127.0.0.1:${port} (ECONNREFUSED)`,
  ]);
});

test('creating is tried again only when the server says that nothing was begun', async () => {
  await using asks = await ScriptedServer.start([
    apiError(503, 'no_capacity', 'no memory', { 'retry-after': '0', 'dormouse-not-begun': 'true' }),
    json(201, wireSandbox()),
  ]);
  expect((await Sandbox.create(options(asks))).id).toBe(ID);
  expect(asks.requests).toHaveLength(2);

  await using silent = await ScriptedServer.start([
    apiError(503, 'no_capacity', 'no memory', { 'retry-after': '0' }),
  ]);
  expect((await thrownBy(() => Sandbox.create(options(silent)))).code).toBe('no_capacity');
  expect(silent.requests).toHaveLength(1);
});

test('a connection that breaks under a command is an error after one attempt', async () => {
  await using server = await ScriptedServer.start([
    json(200, wireSandbox()),
    (_request, response) => {
      response.destroy();
    },
  ]);
  const sandbox = await Sandbox.connect(ID, options(server));
  expect((await thrownBy(() => sandbox.exec('true'))).code).toBe('unavailable');
  expect(server.requests).toHaveLength(2);
});

test('what is deleted by a request whose answer was lost is deleted, and what never was is not found', async () => {
  const broken = (_request: unknown, response: { destroy(): void }): void => response.destroy();
  const gone = apiError(404, 'not_found', 'there is no snapshot kept');
  await using lost = await ScriptedServer.start([broken, gone]);
  await new Client(options(lost)).snapshots.delete('kept');
  expect(lost.requests).toHaveLength(2);
  await using never = await ScriptedServer.start([gone]);
  const error = await thrownBy(() => new Client(options(never)).snapshots.delete('kept'));
  expect(error.code).toBe('not_found');
});

test('a signal is sent once, also over a connection that breaks', async () => {
  await using server = await ScriptedServer.start([
    json(200, wireSandbox()),
    (_request, response) => {
      response.destroy();
    },
  ]);
  const sandbox = await Sandbox.connect(ID, options(server));
  expect((await thrownBy(() => sandbox.processes.kill(7, { processSignal: 'SIGUSR1' }))).code).toBe(
    'unavailable',
  );
  expect(server.requests).toHaveLength(2);
});

test('time limits and signals end a request', async () => {
  await using server = await ScriptedServer.start([() => {}]);
  const client = new Client(options(server));
  const late = await thrownBy(() => client.health({ timeoutMs: 50 }));
  expect([late.code, late.message]).toEqual(['timeout', 'GET /healthz took longer than 50 ms']);
  const cancelled = await thrownBy(() => client.health({ signal: AbortSignal.abort('enough') }));
  expect([cancelled.code, cancelled.cause]).toEqual(['cancelled', 'enough']);
});

test('commands travel as they are, and output that is not text comes back exact', async () => {
  const bytes = Buffer.from([0, 255, 254, 10]);
  await using server = await ScriptedServer.start([
    json(200, wireSandbox()),
    json(200, {
      stdout: bytes.toString('base64'),
      stderr: '',
      exit_code: 3,
      signal: null,
      duration_ms: 12,
      encoding: 'base64',
      truncated: false,
    }),
  ]);
  const sandbox = await Sandbox.connect(ID, options(server));
  const result = await sandbox.execBytes(
    { cmd: 'cat', args: ['-'], user: 'root', cwd: '/tmp', envs: { A: 'b' } },
    { stdin: new Uint8Array([1, 2]), timeoutMs: 1500 },
  );
  expect(Buffer.from(result.stdout)).toEqual(bytes);
  expect([result.exitCode, result.durationMs]).toEqual([3, 12]);
  expect(JSON.parse(server.requests[1]?.body ?? '')).toEqual({
    cmd: 'cat',
    args: ['-'],
    envs: { A: 'b' },
    cwd: '/tmp',
    user: 'root',
    timeout_sec: 1.5,
    stdin: 'AQI=',
    stdin_encoding: 'base64',
  });
});

test('without a key or with a wrong URL nothing is sent', async () => {
  const keyless = { apiUrl: 'http://127.0.0.1:1', apiKey: '' };
  expect((await thrownBy(() => Sandbox.create(keyless))).code).toBe('unauthorized');
  const wrong = { apiUrl: 'ftp://example', apiKey: 'k' };
  expect((await thrownBy(() => Sandbox.create(wrong))).message).toBe(
    'not an http or https URL: ftp://example',
  );
});
