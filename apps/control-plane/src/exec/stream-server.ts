import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { MAX_EXEC_STREAM_MESSAGE_BYTES } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import { beginSpan, remoteParent } from '@dormouse/telemetry';
import { WebSocketServer } from 'ws';
import type { Caller, Services } from '../context.js';
import { noSuchRoute } from '../http/app.js';
import { authenticate, presentedKey } from '../http/authentication.js';
import { clientAddress } from '../http/client-address.js';
import { errorBody, retryHeaders, toClientError } from '../http/errors.js';
import { requestId } from '../http/request-log.js';
import { serveExecStream } from './stream-session.js';
import { StreamSocket } from './stream-socket.js';

const ROUTE = '/v1/sandboxes/:id/exec/stream';
const PATH = /^\/v1\/sandboxes\/([^/]+)\/exec\/stream$/;

/** The exec streams of a server. */
export interface ExecStreams {
  /** How many are open. */
  readonly size: number;
  /** Resolves when the last open one has ended. */
  idle(): Promise<void>;
  /** Ends those that are open. */
  terminate(): void;
}

/** Serves WebSockets at GET …/exec/stream of an HTTP server. */
export function serveExecStreams(server: Server, services: Services): ExecStreams {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_EXEC_STREAM_MESSAGE_BYTES,
    // Output is often compressed already, and a compressor per socket costs more memory than the socket.
    perMessageDeflate: false,
  });
  const open = new Set<Promise<void>>();

  server.on('upgrade', (request, raw, head) => {
    raw.on('error', () => raw.destroy());
    const id = requestId(headerOf(request, 'x-request-id'));
    admit(services, request).then(
      (admitted) => {
        sockets.handleUpgrade(request, raw, head, (socket) => {
          const session = serve(services, new StreamSocket(socket), admitted, id, request);
          open.add(session);
          void session.finally(() => open.delete(session));
        });
      },
      (error: unknown) => refuse(raw, toClientError(error), id),
    );
  });

  return {
    get size() {
      return open.size;
    },
    idle: async () => {
      while (open.size > 0) await Promise.allSettled([...open]);
    },
    terminate: () => {
      for (const client of sockets.clients) client.terminate();
    },
  };
}

async function serve(
  services: Services,
  socket: StreamSocket,
  { sandboxId, caller, address }: Admitted,
  id: string,
  request: IncomingMessage,
): Promise<void> {
  const started = performance.now();
  const span = beginSpan(`GET ${ROUTE}`, {
    kind: 'server',
    attributes: { 'http.request.method': 'GET', 'http.route': ROUTE },
    parent: remoteParent({ get: (name) => headerOf(request, name) ?? null }),
  });
  const error = await span.run(() =>
    serveExecStream(services, socket, { sandboxId, known: caller, address }),
  );
  span.end(error);
  services.log.info(
    {
      requestId: id,
      sandboxId: sandboxId.slice(0, 64),
      durationMs: Math.round(performance.now() - started),
      outcome: error?.code ?? 'exited',
    },
    'exec stream',
  );
}

/** A request that may become a WebSocket. */
interface Admitted {
  readonly sandboxId: string;
  /** Where the headers say who asks. */
  readonly caller: Caller | undefined;
  readonly address: string | null;
}

/** Everything that can be refused before the connection becomes a WebSocket. */
async function admit(services: Services, request: IncomingMessage): Promise<Admitted> {
  const path = (request.url ?? '').split('?')[0] ?? '';
  const sandboxId = PATH.exec(path)?.[1];
  if (sandboxId === undefined || request.headers.upgrade?.toLowerCase() !== 'websocket') {
    throw noSuchRoute(request.method ?? 'GET', path);
  }
  checkOrigin(request);
  const key = presentedKey(headerOf(request, 'x-api-key'), request.headers.authorization);
  const address = clientAddress(
    request.socket.remoteAddress,
    headerOf(request, 'x-forwarded-for'),
    services.access.trustedProxies,
  );
  const caller = key === undefined ? undefined : await authenticate(services, key, address);
  return { sandboxId, caller, address };
}

/** A browser says which page is asking; only pages of this server may. Other clients say nothing. */
function checkOrigin(request: IncomingMessage): void {
  const { origin, host } = request.headers;
  if (origin === undefined) return;
  if (URL.canParse(origin) && new URL(origin).host === host) return;
  throw new DormouseError('forbidden', 'pages of another origin may not open this stream');
}

function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function refuse(raw: Duplex, error: DormouseError, id: string): void {
  const body = JSON.stringify(errorBody(error, id));
  const retry = Object.entries(retryHeaders(error, 'GET'));
  raw.end(
    [
      `HTTP/1.1 ${error.httpStatus} ${error.code}`,
      'Content-Type: application/json',
      `Content-Length: ${Buffer.byteLength(body)}`,
      `X-Request-Id: ${id}`,
      ...retry.map(([name, value]) => `${name}: ${value}`),
      'Connection: close',
      '',
      body,
    ].join('\r\n'),
    () => raw.destroy(),
  );
}
