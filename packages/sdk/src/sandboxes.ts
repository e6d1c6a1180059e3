import type { CallOptions } from './client-options.js';
import { Sandbox } from './sandbox.js';
import {
  type CreateOptions,
  createSandbox,
  deleteSandbox,
  fetchSandbox,
  type ListSandboxesOptions,
  listSandboxes,
  type SandboxInfo,
} from './sandbox-requests.js';
import type { Transport } from './transport.js';

/** The sandboxes of a team. */
export class Sandboxes {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  async create(create: CreateOptions = {}, options: CallOptions = {}): Promise<Sandbox> {
    return new Sandbox(this.#transport, await createSandbox(this.#transport, create, options), true);
  }

  /** A sandbox that exists. */
  async connect(id: string, options: CallOptions = {}): Promise<Sandbox> {
    return new Sandbox(this.#transport, await this.info(id, options), false);
  }

  info(id: string, options: CallOptions = {}): Promise<SandboxInfo> {
    return fetchSandbox(this.#transport, id, options);
  }

  /** Ends a sandbox and frees everything it had. */
  delete(id: string, options: CallOptions = {}): Promise<void> {
    return deleteSandbox(this.#transport, id, options);
  }

  list(options: ListSandboxesOptions = {}): AsyncGenerator<SandboxInfo, void, undefined> {
    return listSandboxes(this.#transport, options);
  }
}
