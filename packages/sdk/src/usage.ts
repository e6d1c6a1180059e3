import { Usage as WireUsage } from '@dormouse/contracts';
import { type CamelKeys, toCamelKeys } from './case.js';
import type { CallOptions } from './client-options.js';
import type { Transport } from './transport.js';

/** What a team has, and what it may have at once. */
export type Usage = CamelKeys<WireUsage>;

export async function fetchUsage(transport: Transport, options: CallOptions): Promise<Usage> {
  return toCamelKeys(await transport.json({ ...options, method: 'GET', path: '/v1/usage' }, WireUsage));
}
