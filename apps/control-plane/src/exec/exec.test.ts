import { Code, ConnectError } from '@connectrpc/connect';
import type { ExecResult, ExecServerMessage } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import { connectHost, type ExecRequest, type ExecStart } from '@dormouse/host-api';
import { Sandbox } from '@dormouse/sdk';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';
import { SEND_HIGH_WATER_BYTES } from './stream-socket.js';

let plane: TestControlPlane;
let id: string;
beforeAll(async () => {
  plane = await startTestControlPlane();
  id = await plane.createSandbox();
}, 60_000);
afterAll(() => plane.close(), 60_000);
beforeEach(() => plane.host.reset());

const MIB = 1024 * 1024;
const exited = (exitCode = 0, signal = 0) => ({
  message: { case: 'exited' as const, value: { exitCode, signal } },
});
const started = { message: { case: 'started' as const, value: { pid: 7 } } };
const out = (value: Uint8Array | string) => ({
  message: { case: 'stdout' as const, value: Buffer.from(value as string) },
});
const err = (value: string) => ({ message: { case: 'stderr' as const, value: Buffer.from(value) } });

/** Scripts a process: what it was started with, all its input, and what it answers. */
function scriptProcess(
  play: (
    input: AsyncIterator<ExecRequest>,
    start: ExecStart,
  ) => AsyncIterable<ReturnType<typeof exited | typeof out | typeof err> | typeof started>,
): void {
  plane.host.script({
    exec: async function* (requests) {
      const input = requests[Symbol.asyncIterator]();
      const first = (await input.next()).value as ExecRequest;
      yield* play(input, first.message.value as ExecStart);
    },
  });
}

function exec(body: unknown, init: RequestInit = {}): Promise<Response> {
  return plane.request(`/v1/sandboxes/${id}/exec`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...init,
  });
}

test('hazard 8: a command whose host agent goes away after it has started is not run again by the SDK', async () => {
  const sandbox = await Sandbox.connect(id, { apiUrl: plane.url, apiKey: plane.team.key });
  let runs = 0;
  scriptProcess(async function* () {
    runs += 1;
    yield started;
    throw new ConnectError('the connection was reset', Code.Unavailable);
  });
  await expect(sandbox.exec('deploy')).rejects.toMatchObject({ code: 'unavailable', status: 503 });
  expect(runs).toBe(1);
  expect((await exec({ cmd: 'deploy' })).headers.get('retry-after')).toBeNull();
});

test('a command is run by the SDK when the host agent is there again, if it was not there to begin it', async () => {
  const sandbox = await Sandbox.connect(id, { apiUrl: plane.url, apiKey: plane.team.key });
  const nowhere = connectHost('/nowhere/host-agent.sock');
  const { host } = plane.services;
  const calls = vi.spyOn(host, 'exec').mockImplementationOnce((requests) => nowhere.host.exec(requests));
  scriptProcess(async function* () {
    yield exited(0);
  });
  try {
    expect((await sandbox.exec('deploy')).exitCode).toBe(0);
    expect(calls).toHaveBeenCalledTimes(2);
  } finally {
    calls.mockRestore();
    nowhere.close();
  }
});

describe('exec', () => {
  test('answers outputs and exit code of a program with its arguments', async () => {
    let asked: unknown;
    scriptProcess(async function* (_input, start) {
      const { argv, envs, cwd, user, stdin, timeoutMs, killOnDisconnect } = start;
      asked = { argv, envs, cwd, user, stdin, timeoutMs, killOnDisconnect };
      yield started;
      yield out('héllo\n');
      yield err('warning\n');
      yield exited(3);
    });
    const answer = await exec({
      cmd: 'printf',
      args: [],
      envs: { A: 'b' },
      cwd: '/tmp',
      user: 'root',
      timeout_sec: 1.5,
    });
    expect(answer.status).toBe(200);
    const { duration_ms, ...result } = (await answer.json()) as ExecResult;
    expect(duration_ms).toBeGreaterThanOrEqual(0);
    expect(result).toEqual({
      stdout: 'héllo\n',
      stderr: 'warning\n',
      exit_code: 3,
      signal: null,
      encoding: 'utf-8',
      truncated: false,
    });
    expect(asked).toEqual({
      argv: ['printf'],
      envs: { A: 'b' },
      cwd: '/tmp',
      user: 'root',
      stdin: false,
      timeoutMs: 1500n,
      killOnDisconnect: true,
    });
  });

  test('without arguments runs a line in a login shell', async () => {
    let argv: string[] = [];
    scriptProcess(async function* (_input, start) {
      argv = start.argv;
      yield exited(-1, 9);
    });
    const result = (await (await exec({ cmd: 'kill -9 $$' })).json()) as ExecResult;
    expect(argv).toEqual(['/bin/bash', '-l', '-c', 'kill -9 $$']);
    expect([result.exit_code, result.signal]).toEqual([137, 'SIGKILL']);
  });

  test.each([
    ['utf-8', 'grüße', Buffer.from('grüße')],
    ['base64', Buffer.from([0, 255, 128]).toString('base64'), Buffer.from([0, 255, 128])],
  ])('hazard 13: stdin arrives byte by byte as it was sent (%s)', async (stdin_encoding, stdin, bytes) => {
    scriptProcess(async function* (input) {
      const received: Uint8Array[] = [];
      for (let next = await input.next(); !next.done; next = await input.next()) {
        if (next.value.message.case === 'stdin') received.push(next.value.message.value);
        if (next.value.message.case === 'closeStdin') break;
      }
      yield out(Buffer.concat(received));
      yield exited();
    });
    const result = (await (await exec({ cmd: 'cat', stdin, stdin_encoding })).json()) as ExecResult;
    expect(Buffer.from(result.stdout, result.encoding)).toEqual(bytes);
  });

  test('hazard 13: a character split between two chunks arrives whole, other bytes as base64', async () => {
    const euro = Buffer.from('€');
    scriptProcess(async function* () {
      yield out(euro.subarray(0, 1));
      yield out(euro.subarray(1));
      yield exited();
    });
    expect(await (await exec({ cmd: 'x' })).json()).toMatchObject({ stdout: '€', encoding: 'utf-8' });
    scriptProcess(async function* () {
      yield out(euro.subarray(0, 2));
      yield err('plain');
      yield exited();
    });
    expect(await (await exec({ cmd: 'x' })).json()).toMatchObject({
      stdout: euro.subarray(0, 2).toString('base64'),
      stderr: Buffer.from('plain').toString('base64'),
      encoding: 'base64',
    });
  });

  test('hazard 12: keeps 10 MiB of an output, discards the rest and lets the process end', async () => {
    const chunk = Buffer.alloc(MIB, 'x');
    scriptProcess(async function* () {
      for (let i = 0; i < 64; i++) yield out(chunk);
      yield err('done');
      yield exited();
    });
    const result = (await (await exec({ cmd: 'yes' })).json()) as ExecResult;
    expect(result.stdout.length).toBe(10 * MIB);
    expect([result.truncated, result.stderr, result.exit_code]).toEqual([true, 'done', 0]);
  });

  test('a process that takes too long is a 408', async () => {
    scriptProcess(async function* () {
      yield started;
      throw new DormouseError('timeout', 'the process did not end within 0.1 s and was killed');
    });
    const answer = await exec({ cmd: 'sleep 9', timeout_sec: 0.1 });
    expect(answer.status).toBe(408);
    expect(await answer.json()).toMatchObject({
      error: { code: 'timeout', message: 'the process did not end within 0.1 s and was killed' },
    });
  });

  test('a client that goes away cancels the call, which kills the process', async () => {
    const running = signalled();
    const cancelled = signalled();
    plane.host.script({
      exec: async function* (_requests, { signal }) {
        signal.addEventListener('abort', () => cancelled.resolve());
        yield started;
        running.resolve();
        await cancelled.promise;
      },
    });
    const client = new AbortController();
    const answer = exec({ cmd: 'sleep 9' }, { signal: client.signal });
    await running.promise;
    client.abort();
    await expect(answer).rejects.toThrow();
    await cancelled.promise;
  });

  test.each([
    [{}, 'cmd: Invalid input: expected string, received undefined'],
    [{ cmd: '' }, 'cmd: must not be empty'],
    [{ cmd: 'a\0b' }, 'cmd: must not contain a NUL byte'],
    [{ cmd: 'a', timeout_sec: -1 }, 'timeout_sec: Too small: expected number to be >=0'],
    [{ cmd: 'a', stdin: '%', stdin_encoding: 'base64' }, 'stdin: must be base64'],
    [{ cmd: 'a', envs: { 'A=B': '' } }, /^envs\.A=B: /],
  ])('refuses %j', async (body, message) => {
    const answer = await exec(body);
    expect(answer.status).toBe(400);
    const { error } = (await answer.json()) as { error: { message: string } };
    expect(error.message).toMatch(message);
  });
});

/** A client of the stream that keeps everything it hears. */
class StreamClient {
  readonly socket: WebSocket;
  readonly #heard: ExecServerMessage[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;
  #wake = () => {};

  constructor(headers: Record<string, string> = { 'x-api-key': plane.team.key }, sandbox: string = id) {
    const url = plane.url.replace('http', 'ws');
    this.socket = new WebSocket(`${url}/v1/sandboxes/${sandbox}/exec/stream`, { headers });
    this.socket.on('message', (data) => {
      this.#heard.push(JSON.parse(data.toString()) as ExecServerMessage);
      this.#wake();
    });
    this.closed = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
  }

  async open(): Promise<this> {
    await new Promise((resolve, reject) => {
      this.socket.once('open', resolve);
      this.socket.once('error', reject);
    });
    return this;
  }

  say(message: unknown): void {
    this.socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  async hear(): Promise<ExecServerMessage> {
    while (this.#heard.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#heard.shift()!;
  }
}

/** The status of a refused upgrade. */
function refusal(headers: Record<string, string>, path?: string): Promise<number> {
  const url = plane.url.replace('http', 'ws');
  const socket = new WebSocket(`${url}${path ?? `/v1/sandboxes/${id}/exec/stream`}`, { headers });
  return new Promise((resolve, reject) => {
    socket.on('unexpected-response', (_request, response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
      socket.terminate();
    });
    socket.on('error', () => undefined);
    socket.on('open', () => reject(new Error('it was accepted')));
  });
}

/** A process that answers every input with what it was. */
function scriptEcho(): void {
  scriptProcess(async function* (input, start) {
    yield started;
    yield out(
      JSON.stringify({
        argv: start.argv,
        stdin: start.stdin,
        terminal: start.terminal !== undefined,
        kill: start.killOnDisconnect,
      }),
    );
    for (let next = await input.next(); !next.done; next = await input.next()) {
      const { message } = next.value;
      if (message.case === 'stdin') yield out(message.value);
      else if (message.case === 'signal') yield out(`signal ${message.value}`);
      else if (message.case === 'resize') yield out(`${message.value.cols}x${message.value.rows}`);
      else if (message.case === 'closeStdin') break;
    }
    yield exited(0);
  });
}

const text = (message: ExecServerMessage) =>
  'data' in message ? Buffer.from(message.data, 'base64').toString() : JSON.stringify(message);

describe('exec stream', () => {
  test('starts a process, carries input and output, and ends with the exit', async () => {
    scriptEcho();
    const client = await new StreamClient().open();
    client.say({ type: 'start', cmd: 'cat', args: ['-'], pty: { cols: 80, rows: 24 } });
    expect(await client.hear()).toEqual({ type: 'start', pid: 7 });
    expect(JSON.parse(text(await client.hear()))).toEqual({
      argv: ['cat', '-'],
      stdin: true,
      terminal: true,
      kill: true,
    });
    client.say({ type: 'stdin', data: Buffer.from([0, 255]).toString('base64') });
    expect(await client.hear()).toEqual({ type: 'stdout', data: Buffer.from([0, 255]).toString('base64') });
    client.say({ type: 'stdin', data: 'plain', encoding: 'utf-8' });
    expect(text(await client.hear())).toBe('plain');
    client.say({ type: 'signal', name: 'SIGINT' });
    expect(text(await client.hear())).toBe('signal 2');
    client.say({ type: 'resize', cols: 120, rows: 40 });
    expect(text(await client.hear())).toBe('120x40');
    client.say({ type: 'close_stdin' });
    expect(await client.hear()).toEqual({ type: 'exit', exit_code: 0, signal: null });
    expect((await client.closed).code).toBe(1000);
  });

  test('takes the key from the first message', async () => {
    scriptEcho();
    const client = await new StreamClient({}).open();
    client.say({ type: 'auth', token: plane.team.key });
    client.say({ type: 'start', cmd: 'true', stdin: false, detach: true });
    expect(await client.hear()).toEqual({ type: 'start', pid: 7 });
    expect(JSON.parse(text(await client.hear()))).toMatchObject({ stdin: false, kill: false });
    client.say({ type: 'close_stdin' });
    expect((await client.closed).code).toBe(1000);
  });

  test('follows a process that runs already', async () => {
    let asked: unknown;
    plane.host.script({
      exec: async function* (requests) {
        for await (const { message } of requests) {
          asked =
            message.case === 'attach'
              ? { pid: message.value.pid, backlog: message.value.backlog }
              : undefined;
          break;
        }
        yield exited(0);
      },
    });
    const client = await new StreamClient().open();
    client.say({ type: 'attach', pid: 42 });
    expect(await client.hear()).toMatchObject({ type: 'exit' });
    expect(asked).toEqual({ pid: 42, backlog: true });
  });

  test.each([
    ['a wrong key in the first message', {}, { type: 'auth', token: 'dor_no' }, 4401, 'unauthorized'],
    ['no key in the first message', {}, { type: 'start', cmd: 'true' }, 4401, 'unauthorized'],
    ['something that is no JSON', undefined, 'nonsense', 4400, 'invalid_request'],
    ['an unknown message', undefined, { type: 'dance' }, 4400, 'invalid_request'],
    ['input before the start', undefined, { type: 'stdin', data: '' }, 4400, 'invalid_request'],
  ])('%s ends it with an error', async (_name, headers, message, code, error) => {
    const client = await new StreamClient(headers).open();
    client.say(message);
    expect(await client.hear()).toMatchObject({ type: 'error', code: error });
    expect(await client.closed).toEqual({ code, reason: error });
  });

  test('a client that never says who it is is shown out after 5 s', async () => {
    const client = await new StreamClient({}).open();
    expect(await client.hear()).toEqual({
      type: 'error',
      code: 'unauthorized',
      message: 'say {"type":"auth","token":"…"} within 5 s',
    });
    expect((await client.closed).code).toBe(4401);
  });

  test('wrong input later ends it too, and tells what was wrong', async () => {
    for (const message of [
      { type: 'signal', name: 'SIGNOPE' },
      { type: 'stdin', data: '%%%' },
      { type: 'start', cmd: 'again' },
    ]) {
      scriptEcho();
      const client = await new StreamClient().open();
      client.say({ type: 'start', cmd: 'cat' });
      await client.hear();
      await client.hear();
      client.say(message);
      expect(await client.hear()).toMatchObject({ type: 'error', code: 'invalid_request' });
      expect((await client.closed).code).toBe(4400);
    }
  });

  test('hazard 14: another team, an unknown sandbox and a wrong key are refused', async () => {
    const stranger = await plane.newTeam();
    for (const [headers, sandbox] of [
      [{ 'x-api-key': stranger.key }, id],
      [undefined, 'sb00000000000000000000'],
    ] as const) {
      const client = await new StreamClient(headers, sandbox).open();
      client.say({ type: 'start', cmd: 'true' });
      expect(await client.hear()).toMatchObject({ type: 'error', code: 'not_found' });
      expect((await client.closed).code).toBe(4404);
    }
    expect(await refusal({ 'x-api-key': 'dor_wrong' })).toBe(401);
    expect(await refusal({ authorization: 'Bearer wrong' })).toBe(401);
    expect(await refusal({ 'x-api-key': plane.team.key }, '/v1/elsewhere')).toBe(404);
  });

  test('a page of another origin is refused, one of this server is not', async () => {
    const key = { 'x-api-key': plane.team.key };
    expect(await refusal({ ...key, origin: 'https://evil.example' })).toBe(403);
    expect(await refusal({ ...key, origin: 'null' })).toBe(403);
    scriptEcho();
    const client = await new StreamClient({ ...key, origin: plane.url }).open();
    client.socket.terminate();
    await client.closed;
  });

  test('an ordinary request to its address is told to use a WebSocket', async () => {
    const answer = await plane.request(`/v1/sandboxes/${id}/exec/stream`);
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error: { code: 'invalid_request' } });
  });

  test('closing the socket cancels the call, which kills the process', async () => {
    const cancelled = signalled();
    plane.host.script({
      exec: async function* (_requests, { signal }) {
        signal.addEventListener('abort', () => cancelled.resolve());
        yield started;
        await cancelled.promise;
      },
    });
    const client = await new StreamClient().open();
    client.say({ type: 'start', cmd: 'sleep 9' });
    await client.hear();
    client.socket.terminate();
    await cancelled.promise;
  });

  test('hazard 12: a client that does not read stops the process, not the server, and loses nothing', async () => {
    const chunk = Buffer.alloc(256 * 1024, 'x');
    const total = 400;
    let produced = 0;
    scriptProcess(async function* () {
      yield started;
      for (; produced < total; produced++) yield out(chunk);
      yield exited();
    });
    const client = await new StreamClient().open();
    client.say({ type: 'start', cmd: 'yes' });
    await client.hear();
    client.socket.pause();
    await settled(() => produced);
    // What fits into the buffers on the way: the socket's own, HTTP/2 windows and kernel buffers.
    expect(produced * chunk.length).toBeLessThan(SEND_HIGH_WATER_BYTES + 24 * MIB);
    expect((await plane.request('/healthz')).status).toBe(200);
    client.socket.resume();
    let received = 0;
    for (;;) {
      const message = await client.hear();
      if (message.type === 'exit') break;
      if (message.type === 'stdout') received += Buffer.from(message.data, 'base64').length;
    }
    expect(received).toBe(total * chunk.length);
  });
});

/** Resolves when a figure has not moved for several turns of a slow clock. */
async function settled(read: () => number): Promise<void> {
  let last = -1;
  for (let calm = 0; calm < 10; ) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    const now = read();
    calm = now === last ? calm + 1 : 0;
    last = now;
  }
}

/** A promise that a script resolves. */
function signalled(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
