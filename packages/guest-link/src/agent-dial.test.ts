import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Guest } from './guest.js';
import { canRunAgent, RealAgent } from './testing/real-agent.js';

describe.skipIf(!canRunAgent)('connections of the real agent', () => {
  let agent: RealAgent;
  let guest: Guest;
  const servers: Server[] = [];

  beforeAll(async () => {
    agent = await RealAgent.start();
    guest = await agent.connect();
  }, 180_000);

  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });

  afterAll(async () => {
    await agent?.[Symbol.asyncDispose]();
  });

  async function serve(onSocket: (socket: Socket) => void, host = '127.0.0.1'): Promise<number> {
    const server = createServer({ allowHalfOpen: true }, onSocket);
    servers.push(server);
    server.listen(0, host);
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  /** Not by iterating: that destroys a socket after its last byte, and with it the other direction. */
  async function received(socket: Duplex): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    socket.on('data', (chunk: Uint8Array) => chunks.push(chunk));
    await once(socket, 'end');
    return Buffer.concat(chunks);
  }

  test('half-close: the request ends first, the answer comes after', async () => {
    const port = await serve(async (socket) => {
      const request = await received(socket);
      socket.end(Buffer.concat([Buffer.from('got '), request]));
    });
    const connection = await guest.dial(port);
    const answer = received(connection);
    connection.end('hello');
    expect((await answer).toString()).toBe('got hello');
  });

  test('half-close: the peer ends first and still reads', async () => {
    let request = '';
    let ended: () => void = () => {};
    const done = new Promise<void>((resolve) => {
      ended = resolve;
    });
    const port = await serve(async (socket) => {
      socket.end('bye');
      request = (await received(socket)).toString();
      ended();
    });
    const connection = await guest.dial(port, { host: '127.0.0.1' });
    connection.on('end', () => connection.end('and thanks'));
    connection.resume();
    await done;
    expect(request).toBe('and thanks');
  });

  test('hazard 13: 20 MB are echoed exactly', async () => {
    const port = await serve((socket) => socket.pipe(socket));
    const bytes = randomBytes(20_000_000);
    const connection = await guest.dial(port);
    const answer = received(connection);
    connection.end(bytes);
    expect((await answer).equals(bytes)).toBe(true);
  });

  test('hazard 12: a reader that takes nothing stops the sender and nobody else', async () => {
    const port = await serve((socket) => {
      socket.on('error', () => {});
      const flood = (): void => {
        if (!socket.destroyed) socket.write(Buffer.alloc(65_536), () => flood());
      };
      flood();
    });
    const connection = await guest.dial(port);
    await once(connection, 'readable');
    const other = await guest.dial(await serve((socket) => socket.pipe(socket)));
    other.end('x');
    expect((await received(other)).toString()).toBe('x');
    connection.destroy();
    await once(connection, 'close');
  });

  test('destroying the connection closes it at the peer', async () => {
    let closed: () => void = () => {};
    const done = new Promise<void>((resolve) => {
      closed = resolve;
    });
    const port = await serve((socket) => {
      socket.on('error', () => {});
      socket.on('close', () => closed());
      socket.on('end', () => socket.end());
      socket.resume();
    });
    const connection = await guest.dial(port);
    connection.destroy();
    await done;
  });

  test('::1 is tried after 127.0.0.1', async (context) => {
    const port = await serve((socket) => socket.end('six'), '::1').catch(() => undefined);
    if (port === undefined) return context.skip();
    const connection = await guest.dial(port);
    expect((await received(connection)).toString()).toBe('six');
    connection.end();
  });

  test('a port nobody listens on is refused', async () => {
    const port = await serve(() => {});
    for (const server of servers.splice(0)) server.close();
    await expect(guest.dial(port)).rejects.toMatchObject({
      name: 'GuestError',
      result: 'connection_refused',
      code: 'unavailable',
    });
    await expect(guest.dial(port, { host: 'no-such-host.invalid' })).rejects.toMatchObject({
      name: 'GuestError',
    });
    await expect(guest.dial(70_000)).rejects.toMatchObject({ result: 'invalid_argument' });
  });
});
