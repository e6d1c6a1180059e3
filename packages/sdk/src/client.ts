import { Health } from '@dormouse/contracts';
import { ApiKeys } from './api-keys.js';
import { type CallOptions, type ClientOptions, resolveOptions } from './client-options.js';
import { Sandboxes } from './sandboxes.js';
import { Snapshots } from './snapshots.js';
import { Templates } from './templates.js';
import { Transport } from './transport.js';

/** A Dormouse server, for programs that do more than use one sandbox. */
export class Client {
  readonly sandboxes: Sandboxes;
  readonly snapshots: Snapshots;
  readonly templates: Templates;
  readonly apiKeys: ApiKeys;
  readonly #transport: Transport;

  constructor(options: ClientOptions = {}) {
    this.#transport = new Transport(resolveOptions(options, process.env));
    this.sandboxes = new Sandboxes(this.#transport);
    this.snapshots = new Snapshots(this.#transport);
    this.templates = new Templates(this.#transport);
    this.apiKeys = new ApiKeys(this.#transport);
  }

  get apiUrl(): string {
    return this.#transport.options.apiUrl;
  }

  /** Whether the server answers, and its version. */
  health(options: CallOptions = {}): Promise<Health> {
    return this.#transport.json({ ...options, method: 'GET', path: '/healthz' }, Health);
  }
}
