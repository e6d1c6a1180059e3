import {
  type CreateSandboxRequest,
  SandboxList,
  type SandboxState,
  Sandbox as WireSandbox,
} from '@dormouse/contracts';
import { type CamelKeys, toCamelKeys, toSnakeKeys } from './case.js';
import { type CallOptions, CREATE_TIMEOUT_MS } from './client-options.js';
import { eachItem } from './paging.js';
import type { Query, Transport } from './transport.js';

/** A sandbox as the server describes it. */
export type SandboxInfo = CamelKeys<WireSandbox>;

/** What a new sandbox is to be; everything has a default. */
export type CreateOptions = CamelKeys<CreateSandboxRequest>;

export interface ListSandboxesOptions extends CallOptions {
  readonly state?: SandboxState | undefined;
  /** Labels that all must match. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

export async function createSandbox(
  transport: Transport,
  create: CreateOptions,
  options: CallOptions,
): Promise<SandboxInfo> {
  const request = {
    signal: options.signal,
    timeoutMs: options.timeoutMs ?? CREATE_TIMEOUT_MS,
    method: 'POST',
    path: '/v1/sandboxes',
    json: toSnakeKeys(create),
  } as const;
  return toCamelKeys(await transport.json(request, WireSandbox));
}

export async function fetchSandbox(
  transport: Transport,
  id: string,
  options: CallOptions,
): Promise<SandboxInfo> {
  return toCamelKeys(await transport.json({ ...options, method: 'GET', path: sandboxPath(id) }, WireSandbox));
}

export async function deleteSandbox(transport: Transport, id: string, options: CallOptions): Promise<void> {
  await transport.send({ ...options, method: 'DELETE', path: sandboxPath(id) });
}

export function listSandboxes(
  transport: Transport,
  options: ListSandboxesOptions,
): AsyncGenerator<SandboxInfo, void, undefined> {
  const { state, metadata, ...call } = options;
  const labels = Object.entries(metadata ?? {}).map(([key, value]) => [`metadata.${key}`, value]);
  return eachItem(async (cursor) => {
    const query: Query = { state, cursor, ...Object.fromEntries(labels) };
    const page = await transport.json({ ...call, method: 'GET', path: '/v1/sandboxes', query }, SandboxList);
    return { items: page.sandboxes.map(toCamelKeys), nextCursor: page.next_cursor };
  });
}

export function sandboxPath(id: string): string {
  return `/v1/sandboxes/${encodeURIComponent(id)}`;
}
