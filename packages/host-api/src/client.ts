import { createConnection } from 'node:net';
import { type Client, createClient } from '@connectrpc/connect';
import { createConnectTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { HostService } from './gen/dormouse/host/v1/host_pb.js';
import { traceCalls } from './tracing.js';

/** HTTP/2 windows: the default of 64 KiB would cap a bulk stream at one window per round trip. */
export const HTTP2_WINDOW_BYTES: number = 1024 * 1024;

/** A typed client of one host agent, and the way to let its connection go. */
export interface HostClient {
  readonly host: Client<typeof HostService>;
  close(): void;
}

/**
 * Connects lazily to the host agent at a Unix socket, over HTTP/2 so that calls stream in both directions.
 *
 * @param socketPath where the agent listens; at most 107 bytes
 */
export function connectHost(socketPath: string): HostClient {
  const baseUrl = 'http://host-agent.internal';
  const sessionManager = new Http2SessionManager(
    baseUrl,
    {},
    {
      createConnection: () => createConnection(socketPath),
      settings: { initialWindowSize: HTTP2_WINDOW_BYTES },
    },
  );
  const transport = createConnectTransport({
    baseUrl,
    httpVersion: '2',
    sessionManager,
    // On one machine compressing costs more than it saves, and it would let a window hold any amount of output.
    acceptCompression: [],
    interceptors: [traceCalls],
  });
  return { host: createClient(HostService, transport), close: () => sessionManager.abort() };
}
