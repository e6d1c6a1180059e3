import type { Selectable } from 'kysely';
import type { SnapshotsTable } from './schema.js';

/** A snapshot as it is stored. */
export type SnapshotRecord = Readonly<Selectable<SnapshotsTable>>;

/** What is known of a snapshot before the host has it. */
export interface NewSnapshot {
  readonly id: string;
  readonly name: string;
  /** Whether it may take its name from another snapshot. */
  readonly overwrite: boolean;
  readonly sandboxId: string;
  readonly template: string;
  readonly imageId: string | null;
  readonly vcpus: number;
  readonly memoryMb: number;
  readonly diskMb: number;
  readonly diskOnly: boolean;
  readonly description: string | null;
  readonly parentId: string | null;
  /** What sandboxes that begin with it have in their environment; left out: as its parent says. */
  readonly envs?: Readonly<Record<string, string>> | undefined;
}

/** What a host measures of a snapshot. */
export interface SnapshotSize {
  readonly ownBytes: number;
  readonly totalBytes: number;
}
