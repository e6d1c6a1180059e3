import { PageServer } from './page-server.js';

/** How many processes wait for work. */
export interface PoolOptions {
  /** Processes that wait, started ahead. Default 1. */
  readonly spare?: number;
}

/**
 * Page servers, so that nobody waits for a process to start. There are as many as there are jobs, and a few that wait.
 */
export class PageServerPool {
  readonly #spare: number;
  readonly #idle: PageServer[] = [];
  readonly #busy = new Set<PageServer>();
  #filling: Promise<void> | undefined;
  #closed = false;

  constructor(options: PoolOptions = {}) {
    this.#spare = options.spare ?? 1;
  }

  /** Starts what shall wait. Failures are left to the first one who needs a process. */
  fill(): Promise<void> {
    this.#filling ??= this.#fill().finally(() => {
      this.#filling = undefined;
    });
    return this.#filling;
  }

  /** A process without a job; give it back with `release`. @throws DormouseError `internal` */
  async acquire(): Promise<PageServer> {
    let server = this.#idle.pop();
    while (server !== undefined && !server.isIdle) server = this.#idle.pop();
    server ??= await PageServer.start();
    this.#busy.add(server);
    return server;
  }

  /** Takes a process back. One that is still at work, or too many, ends. */
  async release(server: PageServer): Promise<void> {
    this.#busy.delete(server);
    if (server.isIdle && !this.#closed && this.#idle.length < this.#spare) {
      this.#idle.push(server);
      return;
    }
    await server.kill();
    if (!this.#closed) void this.fill();
  }

  /** Ends what waits; what works finishes and ends by itself. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#filling;
    for (const server of this.#busy) server.letGo();
    await Promise.all(this.#idle.splice(0).map((server) => server.kill()));
  }

  async #fill(): Promise<void> {
    while (!this.#closed && this.#idle.length < this.#spare) {
      const server = await PageServer.start().catch(() => undefined);
      if (server === undefined) return;
      this.#idle.push(server);
    }
  }
}
