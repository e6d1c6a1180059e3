import {
  ApiKeyList,
  type ApiKey as WireApiKey,
  CreatedApiKey as WireCreatedApiKey,
} from '@dormouse/contracts';
import { type CamelKeys, toCamelKeys } from './case.js';
import type { CallOptions } from './client-options.js';
import { eachItem } from './paging.js';
import type { Transport } from './transport.js';

/** A key as the server remembers it. */
export type ApiKey = CamelKeys<WireApiKey>;

/** A new key; `key` itself is shown this once. */
export type CreatedApiKey = CamelKeys<WireCreatedApiKey>;

/** The keys of a team. */
export class ApiKeys {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  list(options: CallOptions = {}): AsyncGenerator<ApiKey, void, undefined> {
    return eachItem(async (cursor) => {
      const request = { ...options, method: 'GET', path: '/v1/api-keys', query: { cursor } } as const;
      const page = await this.#transport.json(request, ApiKeyList);
      return { items: page.api_keys.map(toCamelKeys), nextCursor: page.next_cursor };
    });
  }

  /** @param name to recognise the key by */
  async create(name: string, options: CallOptions = {}): Promise<CreatedApiKey> {
    const request = { ...options, method: 'POST', path: '/v1/api-keys', json: { name } } as const;
    return toCamelKeys(await this.#transport.json(request, WireCreatedApiKey));
  }

  async remove(id: string, options: CallOptions = {}): Promise<void> {
    const path = `/v1/api-keys/${encodeURIComponent(id)}`;
    await this.#transport.send({ ...options, method: 'DELETE', path });
  }
}
