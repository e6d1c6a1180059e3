import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import { replaceFile, syncDirectory } from '@dormouse/rootfs';
import { z } from 'zod';
import type { SandboxSpec } from '../config/sandbox-spec.js';
import { specSchema } from './journal-file.js';

/** Snapshot ids become file names, so their form is checked wherever a path could be made from one. */
const SNAPSHOT_ID: RegExp = /^sn[a-z0-9]{20}$/;

/** A moment of a sandbox that somebody wants to keep. */
export interface Snapshot {
  readonly version: 1;
  readonly id: string;
  readonly generationId: string;
  readonly kind: 'full' | 'disk';
  /** Of the sandbox it was taken from; without its environment variables, which may be secrets. */
  readonly spec: SandboxSpec;
  readonly sandboxId: string;
  /** The snapshot that sandbox was spawned from. */
  readonly parentId?: string | undefined;
  /** Unix milliseconds. */
  readonly createdAtMs: number;
}

const snapshotSchema: z.ZodType<Snapshot> = z.object({
  version: z.literal(1),
  id: z.string().regex(SNAPSHOT_ID),
  generationId: z.string(),
  kind: z.enum(['full', 'disk']),
  spec: specSchema,
  sandboxId: z.string(),
  parentId: z.string().optional(),
  createdAtMs: z.int(),
});

/** The snapshots of a host: one small file each, which keeps a generation from being collected. */
export class Snapshots {
  readonly #dir: string;
  readonly #byId = new Map<string, Snapshot>();

  private constructor(dir: string) {
    this.#dir = dir;
  }

  /**
   * @throws DormouseError `snapshot_corrupt`: a record cannot be understood, so that it is not known what it keeps; the
   *   system error of one that cannot be read now
   */
  static async open(dir: string): Promise<Snapshots> {
    const snapshots = new Snapshots(dir);
    await mkdir(dir, { recursive: true, mode: 0o700 });
    for (const name of await readdir(dir)) {
      if (!name.endsWith('.json')) continue;
      const path = join(dir, name);
      try {
        const snapshot = snapshotSchema.parse(JSON.parse(await readFile(path, 'utf8')));
        snapshots.#byId.set(snapshot.id, snapshot);
      } catch (cause) {
        // A file that cannot be read now may be sound.
        if (systemErrorCode(cause) !== undefined) throw cause;
        throw new DormouseError('snapshot_corrupt', `the record ${path} cannot be understood`, {
          cause,
          suggestion: 'Move the file away to go on without that snapshot.',
        });
      }
    }
    return snapshots;
  }

  list(): readonly Snapshot[] {
    return [...this.#byId.values()];
  }

  find(id: string): Snapshot | undefined {
    return this.#byId.get(id);
  }

  /** @throws DormouseError `not_found` */
  get(id: string): Snapshot {
    const snapshot = this.#byId.get(id);
    if (snapshot !== undefined) return snapshot;
    throw new DormouseError('not_found', `there is no snapshot '${id}' on this host`);
  }

  /** Adds a snapshot; when this returns it survives a power cut, and when it throws there is none. */
  async put(snapshot: Snapshot): Promise<void> {
    const path = this.#path(snapshot.id);
    try {
      await replaceFile(path, JSON.stringify(snapshot), 0o600);
    } catch (error) {
      // A write that fails at its very end has left the file: the next agent would know a snapshot that was refused.
      await rm(path, { force: true }).catch(() => {});
      throw error;
    }
    this.#byId.set(snapshot.id, snapshot);
  }

  /** Unknown ids are fine: it is gone. */
  async remove(id: string): Promise<void> {
    if (!SNAPSHOT_ID.test(id)) return;
    await rm(this.#path(id), { force: true });
    await syncDirectory(this.#dir);
    this.#byId.delete(id);
  }

  #path(id: string): string {
    if (!SNAPSHOT_ID.test(id)) throw new DormouseError('invalid_request', `'${id}' is no snapshot id`);
    return join(this.#dir, `${id}.json`);
  }
}
