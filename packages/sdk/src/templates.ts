import { TemplateList, type Template as WireTemplate } from '@dormouse/contracts';
import { type CamelKeys, toCamelKeys } from './case.js';
import type { CallOptions } from './client-options.js';
import { eachItem } from './paging.js';
import { TemplateBuilds } from './template-builds.js';
import type { Transport } from './transport.js';

/** What sandboxes are made from. */
export type Template = CamelKeys<WireTemplate>;

/** The templates of a server. */
export class Templates {
  /** Builds of templates of the team, which are snapshots when they are ready. */
  readonly builds: TemplateBuilds;
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
    this.builds = new TemplateBuilds(transport);
  }

  list(options: CallOptions = {}): AsyncGenerator<Template, void, undefined> {
    return eachItem(async (cursor) => {
      const request = { ...options, method: 'GET', path: '/v1/templates', query: { cursor } } as const;
      const page = await this.#transport.json(request, TemplateList);
      return { items: page.templates.map(toCamelKeys), nextCursor: page.next_cursor };
    });
  }
}
