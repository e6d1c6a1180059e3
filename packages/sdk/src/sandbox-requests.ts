import {
  type CreateSandboxRequest,
  ForkResults,
  SandboxList,
  type SandboxState,
  Sandbox as WireSandbox,
} from '@dormouse/contracts';
import { DormouseError, isErrorCode } from '@dormouse/errors';
import { type CamelKeys, toCamelKeys, toSnakeKeys } from './case.js';
import { type CallOptions, CREATE_TIMEOUT_MS, FORK_TIMEOUT_MS } from './client-options.js';
import { eachItem } from './paging.js';
import type { Query, Transport } from './transport.js';

/** A sandbox as the server describes it. */
export type SandboxInfo = CamelKeys<WireSandbox>;

/** What a new sandbox is to be; everything has a default. */
export type CreateOptions = CamelKeys<CreateSandboxRequest>;

/** How to pause. */
export interface PauseOptions extends CallOptions {
  /** false: keep the disk alone; processes are lost, and the next start is a boot. Default true. */
  readonly memory?: boolean | undefined;
}

/** How to resume. */
export interface ResumeOptions extends CallOptions {
  /** A new number of seconds without activity until it times out; 0: never. Default: as it was. */
  readonly timeoutSec?: number | undefined;
  /** Boot from the disk even where there is memory. Default false. */
  readonly reboot?: boolean | undefined;
  /** When the memory turns out damaged: boot from the disk, or stay paused and fail. Default: as it was. */
  readonly onMemoryLoss?: 'reboot' | 'fail' | undefined;
}

/** How to fork. */
export interface ForkOptions extends CallOptions {
  /** Seconds without activity until a child times out; 0: never. Default: as the source. */
  readonly timeoutSec?: number | undefined;
}

/** A child that runs, or why there is none. */
export type ForkInfo =
  | { readonly sandbox: SandboxInfo; readonly error?: undefined }
  | { readonly sandbox?: undefined; readonly error: DormouseError };

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

/** Asking twice pauses once, so a broken connection is no reason to give up. */
export async function pauseSandbox(
  transport: Transport,
  id: string,
  { memory, ...options }: PauseOptions,
): Promise<SandboxInfo> {
  return change(transport, `${sandboxPath(id)}/pause`, toSnakeKeys({ memory }), options);
}

/** Asking twice resumes once. */
export async function resumeSandbox(
  transport: Transport,
  id: string,
  { timeoutSec, reboot, onMemoryLoss, ...options }: ResumeOptions,
): Promise<SandboxInfo> {
  return change(
    transport,
    `${sandboxPath(id)}/resume`,
    toSnakeKeys({ timeoutSec, reboot, onMemoryLoss }),
    options,
  );
}

/** Asking twice is as good as once. */
export async function pingSandbox(transport: Transport, id: string, options: CallOptions): Promise<void> {
  await transport.send({ ...options, method: 'POST', path: `${sandboxPath(id)}/ping`, idempotent: true });
}

/** Asking twice makes twice as many children, so this is asked once. */
export async function forkSandbox(
  transport: Transport,
  id: string,
  count: number,
  { timeoutSec, signal, timeoutMs = FORK_TIMEOUT_MS }: ForkOptions,
): Promise<readonly ForkInfo[]> {
  const request = {
    signal,
    timeoutMs,
    method: 'POST',
    path: `${sandboxPath(id)}/fork`,
    json: toSnakeKeys({ count, timeoutSec }),
  } as const;
  const { results } = await transport.json(request, ForkResults);
  return results.map((result) =>
    'sandbox' in result ? { sandbox: toCamelKeys(result.sandbox) } : { error: childError(result.error) },
  );
}

async function change(
  transport: Transport,
  path: string,
  json: object,
  { signal, timeoutMs = CREATE_TIMEOUT_MS }: CallOptions,
): Promise<SandboxInfo> {
  const request = { signal, timeoutMs, method: 'POST', path, json, idempotent: true } as const;
  return toCamelKeys(await transport.json(request, WireSandbox));
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

function childError({ code, message }: { readonly code: string; readonly message: string }): DormouseError {
  return new DormouseError(isErrorCode(code) ? code : 'internal', message);
}
