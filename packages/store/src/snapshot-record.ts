import type { Selectable } from 'kysely';
import { columns } from './columns.js';
import type { SnapshotsTable } from './schema.js';

type SnapshotColumn = Exclude<keyof SnapshotsTable, 'envs'>;

/** All but the environment, which may be large and is needed by few: see `TeamSnapshots.envsOf`. */
export const SNAPSHOT_COLUMNS: readonly SnapshotColumn[] = columns<SnapshotColumn>({
  id: true,
  team_id: true,
  state: true,
  name: true,
  overwrite: true,
  sandbox_id: true,
  template: true,
  image_id: true,
  vcpus: true,
  memory_mb: true,
  disk_mb: true,
  disk_only: true,
  description: true,
  parent_id: true,
  own_bytes: true,
  total_bytes: true,
  created_at: true,
  state_changed_at: true,
  moved_by: true,
});

/** A snapshot as it is stored, without its environment. */
export type SnapshotRecord = Readonly<Pick<Selectable<SnapshotsTable>, SnapshotColumn>>;

/** What is told of a snapshot that another one descends from. */
export type SnapshotAncestor = Pick<SnapshotRecord, 'id' | 'name' | 'state'>;

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
