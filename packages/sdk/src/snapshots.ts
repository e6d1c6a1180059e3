import {
  type CreateSnapshotRequest,
  SnapshotList,
  type SnapshotType,
  Snapshot as WireSnapshot,
} from '@dormouse/contracts';
import { type CamelKeys, toCamelKeys, toSnakeKeys } from './case.js';
import { type CallOptions, CREATE_TIMEOUT_MS } from './client-options.js';
import { eachItem } from './paging.js';
import type { Transport } from './transport.js';

/** A moment of a sandbox that was kept, or a template (`type` is `base`). */
export type SnapshotInfo = CamelKeys<WireSnapshot>;

/** How to keep a moment. */
export interface SnapshotOptions extends CallOptions, Omit<CamelKeys<CreateSnapshotRequest>, 'sandboxId'> {
  /** Take the name from a snapshot that has it, which is deleted when the new one is ready. Default false. */
  readonly overwrite?: boolean | undefined;
}

export interface ListSnapshotsOptions extends CallOptions {
  /** Only these. */
  readonly type?: SnapshotType | undefined;
}

/** The moments that a team has kept, and the templates of the server. */
export class Snapshots {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Keeps the present moment of a sandbox, running or paused, which goes on as it was. */
  create(sandboxId: string, options: SnapshotOptions = {}): Promise<SnapshotInfo> {
    return createSnapshot(this.#transport, sandboxId, options);
  }

  /** Snapshots, newest first, then templates. */
  list(options: ListSnapshotsOptions = {}): AsyncGenerator<SnapshotInfo, void, undefined> {
    const { type, ...call } = options;
    return eachItem(async (cursor) => {
      const request = { ...call, method: 'GET', path: '/v1/snapshots', query: { type, cursor } } as const;
      const page = await this.#transport.json(request, SnapshotList);
      return { items: page.snapshots.map(toCamelKeys), nextCursor: page.next_cursor };
    });
  }

  /** @param name or id */
  async get(name: string, options: CallOptions = {}): Promise<SnapshotInfo> {
    const request = { ...options, method: 'GET', path: snapshotPath(name) } as const;
    return toCamelKeys(await this.#transport.json(request, WireSnapshot));
  }

  /** What descends from it stays whole. @param name or id */
  async delete(name: string, options: CallOptions = {}): Promise<void> {
    await this.#transport.send({ ...options, method: 'DELETE', path: snapshotPath(name) });
  }
}

/** Asked once: the second of two equal requests would find the name taken. */
export async function createSnapshot(
  transport: Transport,
  sandboxId: string,
  options: SnapshotOptions,
): Promise<SnapshotInfo> {
  const { overwrite, signal, timeoutMs = CREATE_TIMEOUT_MS, ...wanted } = options;
  const request = {
    signal,
    timeoutMs,
    method: 'POST',
    path: '/v1/snapshots',
    query: { overwrite },
    json: toSnakeKeys({ sandboxId, ...wanted }),
  } as const;
  return toCamelKeys(await transport.json(request, WireSnapshot));
}

function snapshotPath(name: string): string {
  return `/v1/snapshots/${encodeURIComponent(name)}`;
}
