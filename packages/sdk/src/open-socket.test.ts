import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openSocket } from './open-socket.js';

const PATH = '/v1/sandboxes/sb/exec/stream';

/** A server that takes connections and never answers. */
let server: Server;
let sockets: Socket[];
let closed: Promise<void>;
beforeEach(async () => {
  sockets = [];
  closed = new Promise((resolve) => {
    server = createServer((socket) => {
      sockets.push(socket);
      socket.resume();
      socket.on('error', () => undefined);
      socket.on('close', () => resolve());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

const options = () => ({
  apiUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  credentials: {},
  timeoutMs: 100,
  fetch: undefined,
});

test('the time limit ends a handshake that is not answered, and the connection with it', async () => {
  await expect(openSocket(options(), PATH, {})).rejects.toMatchObject({
    code: 'timeout',
    message: `GET ${PATH} took longer than 100 ms`,
  });
  await closed;
});

test('a signal cancels a handshake that is not answered, and the connection with it', async () => {
  const controller = new AbortController();
  const opening = openSocket(options(), PATH, { signal: controller.signal, timeoutMs: 0 });
  server.once('connection', () => controller.abort());
  await expect(opening).rejects.toMatchObject({ code: 'cancelled', message: `GET ${PATH} was cancelled` });
  await closed;
});
