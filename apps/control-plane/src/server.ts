import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import { getRequestListener } from '@hono/node-server';
import { createApi } from './api.js';
import type { Services } from './context.js';
import { serveExecStreams } from './exec/stream-server.js';
import { errorBody } from './http/errors.js';
import { requestId } from './http/request-log.js';

/** How long open requests may go on once the server is to stop. */
const DRAIN_MS = 10_000;

/** How often connections without a request are closed meanwhile. */
const IDLE_SWEEP_MS = 50;

/** Where to listen. */
export interface ListenOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

/** A server that accepts requests. */
export interface ApiServer {
  /** How to reach it from this machine. */
  readonly url: string;
  /** Accepts nothing new, waits for what is open for at most ten seconds, then ends it. */
  stop(): Promise<void>;
}

/**
 * Serves the API.
 *
 * @throws DormouseError `port_in_use`, or `not_permitted` for a port or address that may not be used
 */
export async function startServer(services: Services, options: ListenOptions): Promise<ApiServer> {
  const app = createApi(services);
  const server = createServer(
    // Uploads take as long as they take; what must be quick is the head of a request.
    { requestTimeout: 0, headersTimeout: 30_000, keepAliveTimeout: 30_000 },
    getRequestListener(app.fetch, {
      errorHandler: (thrown) => malformedRequest(services, thrown),
    }),
  );
  server.on('clientError', answerClientError);
  const streams = serveExecStreams(server, services);
  const { port } = await listen(server, options);
  return {
    url: `http://${addressFor(options.host)}:${port}`,
    stop: async () => {
      // They would never end by themselves; their readers go on elsewhere, where they left off.
      services.feed.close();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      // A connection whose answer is complete stays open for the next request, which will not come.
      const sweeping = setInterval(() => server.closeIdleConnections(), IDLE_SWEEP_MS);
      const patience = new AbortController();
      await Promise.race([
        Promise.all([closed, streams.idle()]),
        wait(DRAIN_MS, undefined, { signal: patience.signal }).catch(() => undefined),
      ]);
      patience.abort();
      clearInterval(sweeping);
      streams.terminate();
      server.closeAllConnections();
      await closed;
    },
  };
}

function listen(server: Server, { host, port }: ListenOptions): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(cannotListen(error, host, port)));
    server.listen(port, host, () => {
      const address = server.address();
      if (address === null || typeof address === 'string') reject(new Error('the server has no port'));
      else resolve(address);
    });
  });
}

function cannotListen(error: unknown, host: string, port: number): DormouseError {
  const suggestion = 'Choose another with DORMOUSE_API_PORT and DORMOUSE_API_HOST.';
  switch (systemErrorCode(error)) {
    case 'EADDRINUSE':
      return new DormouseError('port_in_use', `port ${port} of ${host} is in use`, {
        cause: error,
        suggestion,
      });
    case 'EACCES':
      return new DormouseError('not_permitted', `port ${port} of ${host} may not be used by this user`, {
        cause: error,
        suggestion,
      });
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new DormouseError('invalid_request', `${host} is no address of this machine`, {
        cause: error,
        suggestion,
      });
    default:
      return new DormouseError('setup_failed', `cannot listen on port ${port} of ${host}`, { cause: error });
  }
}

/** An address that leads here: "any" is where to listen, not where to go. */
function addressFor(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}

/** What could not even become a request of the app: a Host header that is none, say. */
function malformedRequest({ log }: Services, thrown: unknown): Response {
  const id = requestId(undefined);
  log.warn({ err: thrown, requestId: id }, 'request not understood');
  const error = new DormouseError('invalid_request', 'the request is not valid HTTP');
  return Response.json(errorBody(error, id), { status: error.httpStatus, headers: { 'X-Request-Id': id } });
}

/** Bytes that are no HTTP. */
function answerClientError(thrown: Error, socket: Socket | import('node:stream').Duplex): void {
  if (!socket.writable || systemErrorCode(thrown) === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const error = new DormouseError('invalid_request', 'the request is not valid HTTP');
  const id = requestId(undefined);
  const body = JSON.stringify(errorBody(error, id));
  socket.end(
    `HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nX-Request-Id: ${id}\r\nConnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}
