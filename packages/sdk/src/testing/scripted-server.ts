import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';

/** A request as the server saw it; bodies of uploads are left to the script. */
export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export type Answer = (request: SeenRequest, response: ServerResponse) => void | Promise<void>;

/** A real HTTP and WebSocket server that answers what a test says, in order; the last answer goes on. */
export class ScriptedServer implements AsyncDisposable {
  readonly requests: SeenRequest[] = [];
  readonly #server: Server;
  readonly #sockets: WebSocketServer;
  readonly #answers: Answer[];

  private constructor(server: Server, sockets: WebSocketServer, answers: Answer[]) {
    this.#server = server;
    this.#sockets = sockets;
    this.#answers = answers;
  }

  /** @param onSocket what happens on each WebSocket */
  static async start(
    answers: readonly Answer[],
    onSocket?: (socket: WebSocket) => void,
  ): Promise<ScriptedServer> {
    const server = createServer();
    const sockets = new WebSocketServer({ noServer: true });
    const scripted = new ScriptedServer(server, sockets, [...answers]);
    server.on('request', (request, response) => void scripted.#answer(request, response));
    if (onSocket) {
      server.on('upgrade', (request, socket, head) => {
        scripted.requests.push(seen(request, ''));
        sockets.handleUpgrade(request, socket, head, onSocket);
      });
    }
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return scripted;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets.clients) socket.terminate();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    for await (const piece of request) body += piece;
    const noticed = seen(request, body);
    this.requests.push(noticed);
    const answer = this.#answers.length > 1 ? this.#answers.shift() : this.#answers[0];
    await answer?.(noticed, response);
  }
}

/** An answer in JSON. */
export function json(status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): Answer {
  return (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(value));
  };
}

/** An error as the API writes it. */
export function apiError(
  status: number,
  code: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return json(status, { error: { code, message, request_id: 'req_1' } }, headers);
}

/** An answer without content. */
export const noContent: Answer = (_request, response) => {
  response.writeHead(204).end();
};

/** A sandbox as the API writes it. */
export function wireSandbox(id = 'sb4f9k2m7q1x8c3v6b0n5z'): Record<string, unknown> {
  return {
    id,
    state: 'running',
    reason: null,
    template: 'base',
    parent_snapshot: null,
    vcpus: 1,
    memory_mb: 512,
    disk_mb: 4096,
    timeout_sec: 0,
    on_timeout: 'pause',
    on_memory_loss: 'reboot',
    internet: true,
    metadata: { some_key: 'kept as it is' },
    created_at: '2026-01-31T09:30:00.000Z',
    started_at: null,
    last_active_at: null,
    expires_at: null,
    paused_at: null,
    resumed_by: null,
    host_id: null,
    host_state: null,
  };
}

/** An event as the API writes it. */
export function wireEvent(id: number, type = 'sandbox.paused'): Record<string, unknown> {
  return {
    id: String(id),
    type,
    sandbox_id: 'sb4f9k2m7q1x8c3v6b0n5z',
    snapshot_id: null,
    actor: 'system',
    reason: null,
    data: { some_key: 'kept as it is' },
    at: '2026-01-31T09:30:00.000Z',
  };
}

/** A snapshot as the API writes it. */
export function wireSnapshot(name = 'kept'): Record<string, unknown> {
  return {
    id: 'sn4f9k2m7q1x8c3v6b0n5z',
    name,
    type: 'snapshot',
    description: null,
    memory: true,
    template: 'base',
    image_id: 'img-1',
    sandbox_id: 'sb4f9k2m7q1x8c3v6b0n5z',
    vcpus: 1,
    memory_mb: 512,
    disk_mb: 4096,
    size_bytes: 1,
    total_bytes: 2,
    parent: null,
    lineage: [{ id: 'img-1', name: 'base', type: 'base', deleted: false }],
    created_at: '2026-01-31T09:30:00.000Z',
  };
}

/** A project as the API writes it. */
export function wireProject(name = 'thesis'): Record<string, unknown> {
  return {
    id: 'pj4f9k2m7q1x8c3v6b0n5z',
    name,
    state: 'closed',
    template: 'base',
    keep_last: 10,
    workspace: '/home/user',
    vcpus: null,
    memory_mb: null,
    timeout_sec: 0,
    internet: true,
    metadata: {},
    sandbox_id: null,
    sandbox_state: null,
    snapshot_id: null,
    created_at: '2026-01-31T09:30:00.000Z',
    opened_at: null,
    saved_at: null,
  };
}

/** A moment of a project as the API writes it. */
export function wireProjectSnapshot(id = 'sn4f9k2m7q1x8c3v6b0n5z'): Record<string, unknown> {
  return {
    id,
    description: null,
    created_at: '2026-01-31T09:30:00.000Z',
    file_count: 3,
    size_mb: 1.5,
    metadata: {},
  };
}

function seen(request: IncomingMessage, body: string): SeenRequest {
  return { method: request.method ?? '', url: request.url ?? '', headers: request.headers, body };
}
