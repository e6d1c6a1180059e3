import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request as a receiver got it. */
export interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export type ReceiverAnswer = (response: ServerResponse, request: Received) => void;

/** What a receiver says that takes everything. */
export const take: ReceiverAnswer = (response) => response.writeHead(204).end();

/** How long anything here may take. */
const PATIENCE_MS = 20_000;

/** A real HTTP server that webhooks lead to; answers what a test says, in order, and the last answer goes on. */
export class Receiver implements AsyncDisposable {
  readonly received: Received[] = [];
  readonly #server: Server;
  readonly #waiting = new Set<() => void>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(...answers: ReceiverAnswer[]): Promise<Receiver> {
    const server = createServer();
    const receiver = new Receiver(server);
    server.on('request', async (request, response) => {
      let body = '';
      for await (const piece of request) body += String(piece);
      const received = { headers: request.headers, body };
      receiver.received.push(received);
      for (const look of receiver.#waiting) look();
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      (answer ?? take)(response, received);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/hook`;
  }

  /** Ids of the events, in the order in which they came. */
  get eventIds(): readonly string[] {
    return this.received.map(({ headers }) => String(headers['dormouse-event-id']));
  }

  /** Waits until there were so many requests. */
  async count(wanted: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(look);
      };
      const timer = setTimeout(() => {
        done();
        reject(new Error(`${this.received.length} of ${wanted} requests came`));
      }, PATIENCE_MS);
      const look = (): void => {
        if (this.received.length < wanted) return;
        done();
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
