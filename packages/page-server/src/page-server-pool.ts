import type { MemoryServer, MemoryServers } from './memory-servers.js';
import { PageServer } from './page-server.js';

/** How many processes wait for work. */
export interface PoolOptions {
  /** Processes that wait, started ahead. Default 1. */
  readonly spare?: number;
  /** How long processes beyond those wait for more work once they have none. Default 10 s. */
  readonly lingerMs?: number;
}

const LINGER_MS = 10_000;
/** More than this start side by side nowhere. */
const MAX_IDLE = 8;

/**
 * Page servers, so that nobody waits for a process to start. There are as many as there are jobs, and a few that wait.
 */
export class PageServerPool implements MemoryServers {
  readonly #spare: number;
  readonly #lingerMs: number;
  readonly #idle: PageServer[] = [];
  readonly #busy = new Set<MemoryServer>();
  #filling: Promise<void> | undefined;
  #trimming: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: PoolOptions = {}) {
    this.#spare = options.spare ?? 1;
    this.#lingerMs = options.lingerMs ?? LINGER_MS;
  }

  /** How many wait, and how many are at work. */
  get counts(): { readonly idle: number; readonly busy: number } {
    return { idle: this.#idle.length, busy: this.#busy.size };
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

  /** Takes a process back. One that is still at work ends; too many end when nobody has wanted them for a while. */
  async release(server: MemoryServer): Promise<void> {
    this.#busy.delete(server);
    if (server instanceof PageServer && server.isIdle && !this.#closed && this.#idle.length < MAX_IDLE) {
      this.#idle.push(server);
      this.#trimLater();
      return;
    }
    await server.kill();
    if (!this.#closed) void this.fill();
  }

  /** Ends what waits; what works finishes and ends by itself. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#trimming);
    await this.#filling;
    for (const server of this.#busy) if (server instanceof PageServer) server.letGo();
    await Promise.all(this.#idle.splice(0).map((server) => server.kill()));
  }

  #trimLater(): void {
    if (this.#idle.length <= this.#spare) return;
    clearTimeout(this.#trimming);
    this.#trimming = setTimeout(() => {
      for (const server of this.#idle.splice(this.#spare)) void server.kill();
    }, this.#lingerMs).unref();
  }

  async #fill(): Promise<void> {
    while (!this.#closed && this.#idle.length < this.#spare) {
      const server = await PageServer.start().catch(() => undefined);
      if (server === undefined) return;
      this.#idle.push(server);
    }
  }
}
