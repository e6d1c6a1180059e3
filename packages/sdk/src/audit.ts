import { AuditList, type AuditEntry as WireAuditEntry } from '@dormouse/contracts';
import { type CamelKeys, toCamelKeys } from './case.js';
import type { CallOptions } from './client-options.js';
import { eachItem } from './paging.js';
import type { Transport } from './transport.js';

/** Something that was done. */
export type AuditEntry = CamelKeys<WireAuditEntry>;

/** Which entries. */
export interface ListAuditOptions extends CallOptions {
  /** Only these, e.g. `sandbox.create`. */
  readonly action?: string | undefined;
  /** Only what was done to this. */
  readonly target?: string | undefined;
}

/** Who did what in a team; for its owners and admins. */
export class Audit {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Newest first. */
  list({ action, target, ...options }: ListAuditOptions = {}): AsyncGenerator<AuditEntry, void, undefined> {
    return eachItem(async (cursor) => {
      const query = { action, target, cursor };
      const request = { ...options, method: 'GET', path: '/v1/audit', query } as const;
      const page = await this.#transport.json(request, AuditList);
      return { items: page.entries.map(toCamelKeys), nextCursor: page.next_cursor };
    });
  }
}
