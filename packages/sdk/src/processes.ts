import { ProcessList, type Process as WireProcess } from '@dormouse/contracts';
import { type CamelKeys, toCamelKeys } from './case.js';
import type { CallOptions } from './client-options.js';
import { eachItem } from './paging.js';
import type { Transport } from './transport.js';

/** A process that was started through the API. */
export type ProcessInfo = CamelKeys<WireProcess>;

/** The processes of one sandbox. */
export class Processes {
  readonly #transport: Transport;
  readonly #path: string;

  /** @param base `/v1/sandboxes/<id>` */
  constructor(transport: Transport, base: string) {
    this.#transport = transport;
    this.#path = `${base}/processes`;
  }

  list(options: CallOptions = {}): AsyncGenerator<ProcessInfo, void, undefined> {
    return eachItem(async (cursor) => {
      const request = { ...options, method: 'GET', path: this.#path, query: { cursor } } as const;
      const page = await this.#transport.json(request, ProcessList);
      return { items: page.processes.map(toCamelKeys), nextCursor: page.next_cursor };
    });
  }

  /**
   * Sends a signal to a process group; default SIGKILL. Not repeated over a broken connection, after which the process
   * may have got it or not: two signals are not one.
   */
  async kill(pid: number, options: CallOptions & { readonly processSignal?: string } = {}): Promise<void> {
    const { processSignal, ...call } = options;
    const query = { signal: processSignal };
    const path = `${this.#path}/${pid}`;
    await this.#transport.send({ ...call, method: 'DELETE', path, query, once: true });
  }
}
