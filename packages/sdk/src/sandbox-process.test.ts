import { once } from 'node:events';
import { EXEC_STREAM_CLOSE } from '@dormouse/contracts';
import { expect, test, vi } from 'vitest';
import type { WebSocket } from 'ws';
import { type ProcessEvent, Sandbox, type SandboxProcess } from './index.js';
import { apiError, json, ScriptedServer, wireSandbox } from './testing/scripted-server.js';

const ID = 'sb4f9k2m7q1x8c3v6b0n5z';
const text = (value: string): string => Buffer.from(value).toString('base64');
const say = (socket: WebSocket, ...messages: object[]): void => {
  for (const message of messages) socket.send(JSON.stringify(message));
};

type ClientMessage = Readonly<Record<string, unknown>>;

/** A server whose socket answers each message by a script. */
function processServer(
  onMessage: (message: ClientMessage, socket: WebSocket) => void,
): Promise<ScriptedServer> {
  return ScriptedServer.start([json(200, wireSandbox())], (socket) => {
    socket.on('message', (raw) => onMessage(JSON.parse(raw.toString()) as ClientMessage, socket));
  });
}

const connect = (server: ScriptedServer) => Sandbox.connect(ID, { apiUrl: server.url, apiKey: 'dor_k' });

async function collect(process: SandboxProcess): Promise<string[]> {
  const events: string[] = [];
  for await (const event of process) events.push(describe(event));
  return events;
}

function describe(event: ProcessEvent): string {
  if (event.type === 'exit') return `exit ${event.exitCode} ${event.signal}`;
  return `${event.type} ${Buffer.from(event.data).toString()}`;
}

test('output, input, signals and size travel as the protocol says', async () => {
  const received: ClientMessage[] = [];
  await using server = await processServer((message, socket) => {
    received.push(message);
    if (message.type === 'start')
      say(socket, { type: 'start', pid: 7 }, { type: 'stdout', data: text('out') });
    if (message.type === 'close_stdin') {
      say(socket, { type: 'stderr', data: text('err') }, { type: 'exit', exit_code: 130, signal: 'SIGINT' });
    }
  });
  const sandbox = await connect(server);
  const process = await sandbox.spawn({ cmd: 'cat', args: [] }, { pty: { cols: 80, rows: 24 }, tag: 'demo' });
  expect(process.pid).toBe(7);
  await process.stdin.write('hi');
  await process.resize(100, 30);
  await process.kill('SIGINT');
  await process.stdin.end();
  expect(await collect(process)).toEqual(['stdout out', 'stderr err', 'exit 130 SIGINT']);
  expect(await process.exit).toEqual({ exitCode: 130, signal: 'SIGINT' });
  expect(received).toEqual([
    {
      type: 'start',
      cmd: 'cat',
      args: [],
      stdin: true,
      detach: false,
      pty: { cols: 80, rows: 24 },
      tag: 'demo',
    },
    { type: 'stdin', data: text('hi'), encoding: 'base64' },
    { type: 'resize', cols: 100, rows: 30 },
    { type: 'signal', name: 'SIGINT' },
    { type: 'close_stdin' },
  ]);
  expect(server.requests[1]?.headers['x-api-key']).toBe('dor_k');
});

test('large input is cut into messages the server accepts', async () => {
  const sizes: number[] = [];
  await using server = await processServer((message, socket) => {
    if (message.type === 'start') say(socket, { type: 'start', pid: 1 });
    if (message.type === 'stdin') sizes.push(Buffer.from(String(message.data), 'base64').length);
    if (message.type === 'close_stdin') say(socket, { type: 'exit', exit_code: 0, signal: null });
  });
  const process = await (await connect(server)).spawn('cat >/dev/null');
  await process.stdin.write(new Uint8Array(600 * 1024));
  await process.stdin.end();
  expect((await process.wait()).exitCode).toBe(0);
  expect(sizes).toEqual([256 * 1024, 256 * 1024, 88 * 1024]);
});

test('hazard 12: a consumer that lags stops the server instead of filling memory', async () => {
  const pieceBytes = 64 * 1024;
  const pieces = 1024;
  let consumed = 0;
  let consumedAtPong = 0;
  await using server = await processServer((message, socket) => {
    if (message.type !== 'start') return;
    say(socket, { type: 'start', pid: 1 });
    for (let index = 0; index < pieces; index++) {
      say(socket, { type: 'stdout', data: text('x'.repeat(pieceBytes)) });
    }
    // Behind all output: the client answers it as soon as it has taken everything off the socket.
    socket.ping();
    socket.once('pong', () => {
      consumedAtPong = consumed;
      say(socket, { type: 'exit', exit_code: 0, signal: null });
    });
  });
  const process = await (await connect(server)).spawn('yes');
  for await (const event of process) {
    if (event.type === 'exit') break;
    consumed += event.data.length;
    // Slower than the socket.
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(consumed).toBe(pieces * pieceBytes);
  // Had the client read ahead without bound, it would have answered when little was consumed.
  expect(consumedAtPong).toBeGreaterThan((pieces * pieceBytes) / 2);
});

test('a consumer that rests for minutes is not taken for dead', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  try {
    let signOfLife: Promise<unknown> = Promise.resolve();
    await using server = await processServer((message, socket) => {
      if (message.type !== 'start') return;
      signOfLife = once(socket, 'pong');
      say(socket, { type: 'start', pid: 1 });
      for (let index = 0; index < 64; index++) {
        say(socket, { type: 'stdout', data: text('x'.repeat(65_536)) });
      }
      say(socket, { type: 'exit', exit_code: 0, signal: null });
    });
    const process = await (await connect(server)).spawn('yes');
    // The queue is full, and the socket paused, when its timer is set.
    await vi.waitUntil(() => vi.getTimerCount() > 0);
    vi.advanceTimersByTime(10_000);
    await signOfLife;
    expect(await process.wait()).toEqual({ exitCode: 0, signal: null });
    expect(vi.getTimerCount()).toBe(0);
  } finally {
    vi.useRealTimers();
  }
});

test('waiting for the end reads the output that nobody wants', async () => {
  await using server = await processServer((message, socket) => {
    if (message.type !== 'start') return;
    say(socket, { type: 'start', pid: 1 });
    for (let index = 0; index < 100; index++) say(socket, { type: 'stdout', data: text('x'.repeat(65_536)) });
    say(socket, { type: 'exit', exit_code: 0, signal: null });
  });
  const process = await (await connect(server)).spawn('yes');
  expect(await process.wait()).toEqual({ exitCode: 0, signal: null });
});

test('an error of the stream ends both the iteration and the exit promise', async () => {
  await using server = await processServer((_message, socket) => {
    say(
      socket,
      { type: 'start', pid: 1 },
      { type: 'stdout', data: text('so far') },
      { type: 'error', code: 'timeout', message: 'it took longer than 1 s' },
    );
    socket.close(EXEC_STREAM_CLOSE.timeout);
  });
  const process = await (await connect(server)).spawn('sleep 9', { timeoutMs: 1000 });
  const iterator = process[Symbol.asyncIterator]();
  expect((await iterator.next()).value).toMatchObject({ type: 'stdout' });
  await expect(iterator.next()).rejects.toMatchObject({
    code: 'timeout',
    message: 'it took longer than 1 s',
  });
  await expect(process.exit).rejects.toMatchObject({ code: 'timeout' });
});

test('a connection that is lost is told as such', async () => {
  await using server = await processServer((_message, socket) => {
    say(socket, { type: 'start', pid: 1 });
    socket.terminate();
  });
  const process = await (await connect(server)).spawn('sleep 9');
  await expect(collect(process)).rejects.toMatchObject({ code: 'unavailable' });
});

test('a refusal before the process starts rejects spawn', async () => {
  await using server = await processServer((_message, socket) => {
    socket.close(EXEC_STREAM_CLOSE.invalidState, 'the sandbox is not running');
  });
  await expect((await connect(server)).spawn('true')).rejects.toMatchObject({
    code: 'invalid_state',
    message: 'the connection to the process ended: the sandbox is not running',
  });
});

test('a handshake that is answered with an error carries it', async () => {
  await using server = await ScriptedServer.start([
    json(200, wireSandbox()),
    apiError(401, 'unauthorized', 'this key is not known'),
  ]);
  const sandbox = await connect(server);
  await expect(sandbox.spawn('true')).rejects.toMatchObject({ code: 'unauthorized', status: 401 });
});

test('cancelling leaves the process and rejects what waits', async () => {
  await using server = await processServer((_message, socket) => say(socket, { type: 'start', pid: 1 }));
  const controller = new AbortController();
  const process = await (await connect(server)).spawn('sleep 9', { signal: controller.signal });
  controller.abort();
  await expect(process.exit).rejects.toMatchObject({ code: 'cancelled' });
  await expect(process.stdin.write('x')).rejects.toMatchObject({ code: 'invalid_state' });
});
