import { chmod, rm } from 'node:fs/promises';
import { createServer, type Http2Server, type ServerHttp2Session } from 'node:http2';
import { createConnection } from 'node:net';
import type { ConnectRouter } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { DormouseError } from '@dormouse/errors';
import { HTTP2_WINDOW_BYTES, traceHandlers } from '@dormouse/host-api';

/** Connection-level window: enough for several bulk streams side by side. */
const SESSION_WINDOW_BYTES = 16 * 1024 * 1024;
/** A message carries at most a chunk of data; anything larger is not from our control plane. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;

/** An RPC server on a Unix socket. */
export interface RpcServer {
  /** Stops listening and ends all connections. */
  close(): Promise<void>;
}

/**
 * Refuses to be a second agent on one data directory: two would fight over the same VMs.
 *
 * @throws DormouseError `already_running` when somebody answers at the socket
 */
export async function refuseSecondAgent(socketPath: string): Promise<void> {
  const answered = await new Promise<boolean>((resolve) => {
    const socket = createConnection(socketPath);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
  if (!answered) return;
  throw new DormouseError('already_running', `a host agent is running at ${socketPath} already`, {
    suggestion: 'Stop it first, or choose another data directory.',
  });
}

/** Listens on a Unix socket that only this user may connect to. A socket file left by a crash is replaced. */
export async function listenRpc(
  socketPath: string,
  routes: (router: ConnectRouter) => void,
): Promise<RpcServer> {
  const handler = connectNodeAdapter({
    routes,
    readMaxBytes: MAX_MESSAGE_BYTES,
    writeMaxBytes: MAX_MESSAGE_BYTES,
    interceptors: [traceHandlers],
  });
  const server = createServer({ settings: { initialWindowSize: HTTP2_WINDOW_BYTES } }, handler);
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session) => {
    sessions.add(session);
    session.setLocalWindowSize(SESSION_WINDOW_BYTES);
    session.once('close', () => sessions.delete(session));
  });
  await rm(socketPath, { force: true });
  await listen(server, socketPath);
  await chmod(socketPath, 0o600);
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const session of sessions) session.destroy();
      }),
  };
}

function listen(server: Http2Server, socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
