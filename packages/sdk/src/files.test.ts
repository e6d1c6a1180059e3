import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { Sandbox } from './index.js';
import { json, ScriptedServer, wireSandbox } from './testing/scripted-server.js';

const ID = 'sb4f9k2m7q1x8c3v6b0n5z';
const PIECE = randomBytes(1024 * 1024);

const entry = (name: string) => ({
  name,
  path: `/tmp/${name}`,
  type: 'file',
  target_type: null,
  symlink_target: null,
  size: 1,
  mode: '0644',
  uid: 1000,
  gid: 1000,
  owner: 'user',
  group: 'user',
  modified_at: '2026-01-31T09:30:00.000Z',
});

/** A server that answers everything but the sandbox itself by a handler that sees the raw request. */
async function rawServer(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<AsyncDisposable & { sandbox: Sandbox }> {
  const server = createServer((request, response) => {
    if (request.url === `/v1/sandboxes/${ID}`) response.end(JSON.stringify(wireSandbox()));
    else handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const apiUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const sandbox = await Sandbox.connect(ID, { apiUrl, apiKey: 'k' });
  return {
    sandbox,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test('hazard 13: bytes arrive exactly, in both directions', async () => {
  const stored = new Map<string, Buffer>();
  await using server = await rawServer((request, response) => {
    const path = new URL(request.url ?? '', 'http://x').searchParams.get('path') ?? '';
    if (request.method === 'PUT') {
      const pieces: Buffer[] = [];
      request.on('data', (piece: Buffer) => pieces.push(piece));
      request.on('end', () => {
        stored.set(path, Buffer.concat(pieces));
        response.end(JSON.stringify({ entry: entry('data') }));
      });
    } else {
      response.end(stored.get(path));
    }
  });
  const { files } = server.sandbox;
  const everyByte = Uint8Array.from({ length: 512 }, (_, index) => index & 255);
  expect((await files.write('/tmp/ä b', everyByte)).modifiedAt).toBe('2026-01-31T09:30:00.000Z');
  expect(Buffer.from(await files.read('/tmp/ä b'))).toEqual(Buffer.from(everyByte));
  await files.write('/text', 'Grüße');
  expect(await files.readText('/text')).toBe('Grüße');
});

test('a large file goes up and down in pieces: the sender waits for the receiver', async () => {
  const count = 64;
  const expected = createHash('sha256');
  for (let index = 0; index < count; index++) expected.update(PIECE);
  const digest = expected.digest('hex');
  const received = createHash('sha256');
  let mostAhead = 0;
  let sent = 0;
  let taken = 0;
  await using server = await rawServer((request, response) => {
    if (request.method === 'PUT') {
      request.on('data', (piece: Buffer) => {
        taken += piece.length;
        received.update(piece);
      });
      request.on('end', () => response.end(JSON.stringify({ entry: entry('data') })));
      return;
    }
    void (async () => {
      for (let index = 0; index < count; index++) {
        if (!response.write(PIECE)) await new Promise((resolve) => response.once('drain', resolve));
      }
      response.end();
    })();
  });
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (let index = 0; index < count; index++) {
      mostAhead = Math.max(mostAhead, sent - taken);
      sent += PIECE.length;
      yield PIECE;
    }
  }
  await server.sandbox.files.write('/big', pieces());
  expect(received.digest('hex')).toBe(digest);
  expect(mostAhead).toBeLessThan(16 * PIECE.length);

  const down = createHash('sha256');
  const stream = await server.sandbox.files.readStream('/big');
  for await (const piece of stream as unknown as AsyncIterable<Uint8Array>) down.update(piece);
  expect(down.digest('hex')).toBe(digest);
});

test('ranges, users, modes and removal are said in the terms of the API', async () => {
  await using server = await ScriptedServer.start([
    json(200, wireSandbox()),
    json(200, { entry: entry('d') }),
  ]);
  const sandbox = await Sandbox.connect(ID, { apiUrl: server.url, apiKey: 'k' });
  await sandbox.files.read('/a', { offset: 10, length: 5 });
  await sandbox.files.read('/a', { offset: 10 });
  await sandbox.files.write('/a', '', { user: 'root', mode: '0600' });
  await sandbox.files.makeDirectory('/d', { parents: false });
  await sandbox.files.remove('/d', { recursive: true });
  const [, range, open, write, make, remove] = server.requests;
  expect([range?.headers.range, open?.headers.range]).toEqual(['bytes=10-14', 'bytes=10-']);
  expect(write?.url).toBe(`/v1/sandboxes/${ID}/files?path=%2Fa&user=root&mode=0600`);
  expect(JSON.parse(make?.body ?? '')).toEqual({ path: '/d', parents: false });
  expect(`${remove?.method} ${remove?.url}`).toBe(
    `DELETE /v1/sandboxes/${ID}/files?path=%2Fd&recursive=true`,
  );
});

test('a download that breaks half-way is an error, not a short file', async () => {
  await using server = await rawServer((_request, response) => {
    response.writeHead(200, { 'content-length': '1000' });
    response.write('only the beginning', () => response.destroy());
  });
  await expect(server.sandbox.files.read('/a')).rejects.toMatchObject({ code: 'unavailable' });
});

test('an upload that is cancelled lets go of its source at once', async () => {
  await using server = await rawServer((request) => request.resume());
  const leave = new AbortController();
  let pieces = 0;
  let released: () => void = () => {};
  const release = new Promise<void>((resolve) => {
    released = resolve;
  });
  async function* endless(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        if (++pieces === 3) leave.abort();
        await new Promise((resolve) => setImmediate(resolve));
        yield new Uint8Array(1024);
      }
    } finally {
      released();
    }
  }
  const upload = server.sandbox.files.write('/tmp/x', endless(), { signal: leave.signal });
  await expect(upload).rejects.toMatchObject({ code: 'cancelled' });
  await release;
  expect(pieces).toBe(3);
});
