import { z } from 'zod';
import { NextCursor, PageQuery } from './paging.js';
import { Name, SandboxId, SNAPSHOT_ID_PATTERN, Timestamp } from './primitives.js';

const MAX_DESCRIPTION_LENGTH = 1024;

/** What a kept moment is, for people. */
export const Description = z
  .string()
  .max(MAX_DESCRIPTION_LENGTH)
  .refine((text) => !text.includes('\0'), 'must not contain a NUL byte');

/** The name of a new snapshot. What looks like an id would be mistaken for one. */
export const SnapshotName = Name.refine(
  (name) => !SNAPSHOT_ID_PATTERN.test(name),
  'must not look like the id of a snapshot',
).meta({
  description:
    'A name: letters, digits, `.`, `_`, `-`; at most 64. `template-` and 8 hex digits when left out',
  example: 'with-dependencies',
});

/** Body of POST /v1/snapshots. */
export const CreateSnapshotRequest = z
  .strictObject({
    sandbox_id: SandboxId,
    name: SnapshotName.optional(),
    memory: z.boolean().default(true).meta({
      description: 'false: keep the disk alone; what is spawned from it boots',
    }),
    description: Description.optional().meta({
      description: 'For people',
      example: 'all packages installed',
    }),
    pause: z
      .boolean()
      .default(false)
      .meta({ description: 'true: the sandbox is paused with it, instead of going on as it was' }),
  })
  .meta({ id: 'CreateSnapshotRequest' });
/** What a client sends. */
export type CreateSnapshotRequest = z.input<typeof CreateSnapshotRequest>;

/** Query of POST /v1/snapshots. */
export const CreateSnapshotQuery = z.object({
  overwrite: z.enum(['true', 'false']).optional().meta({
    description: 'true: take the name from a snapshot that has it, which is deleted when this one is ready',
  }),
});

export const SnapshotType = z.enum(['base', 'snapshot']).meta({
  id: 'SnapshotType',
  description: 'A template that was built (`base`), or a moment of a sandbox (`snapshot`)',
  example: 'snapshot',
});
export type SnapshotType = z.infer<typeof SnapshotType>;

export const Ancestor = z
  .object({
    id: z.string().meta({ description: 'Id of the snapshot', example: 'sn0c3v6b0n5z4f9k2m7q1x' }),
    name: Name,
    type: SnapshotType,
    deleted: z.boolean().meta({ description: 'It is gone; what it had in common with others is not' }),
  })
  .meta({ id: 'Ancestor', description: 'What a snapshot descends from' });
export type Ancestor = z.infer<typeof Ancestor>;

export const Snapshot = z
  .object({
    id: z.string().meta({
      description: 'Never changes, unlike what a name means',
      example: 'sn4f9k2m7q1x8c3v6b0n5z',
    }),
    name: Name,
    type: SnapshotType,
    description: z
      .string()
      .nullable()
      .meta({ description: 'As it was given when the moment was kept', example: 'all packages installed' }),
    memory: z.boolean().meta({ description: 'Whether sandboxes begin with memory and processes, or boot' }),
    template: Name.meta({ description: 'The template it all began with', example: 'base' }),
    image_id: z
      .string()
      .nullable()
      .meta({ description: 'Image its disk began with', example: 'img-8d1f0c2a' }),
    sandbox_id: SandboxId.nullable().meta({ description: 'What it was taken from' }),
    vcpus: z.int().meta({ description: 'Virtual CPUs it was frozen with', example: 2 }),
    memory_mb: z.int().meta({ description: 'Memory it was frozen with, in MiB', example: 512 }),
    disk_mb: z.int().meta({ description: 'Size of the root file system in MiB', example: 4096 }),
    size_bytes: z.int().meta({ description: 'What it alone takes on the host', example: 12_000_000 }),
    total_bytes: z.int().meta({
      description: 'With everything it needs, which others may need as well',
      example: 150_000_000,
    }),
    parent: z.string().nullable().meta({
      description: 'Id of the snapshot its sandbox was spawned from; null when that was a template',
      example: null,
    }),
    lineage: z.array(Ancestor).meta({
      description:
        'What it descends from: its parent first, its template last; of a longer line the nearest hundred and the template',
    }),
    created_at: Timestamp,
  })
  .meta({ id: 'Snapshot' });
export type Snapshot = z.infer<typeof Snapshot>;

/** Query of GET /v1/snapshots. */
export const ListSnapshotsQuery = PageQuery.extend({
  type: SnapshotType.optional().meta({ description: 'Only these' }),
});

export const SnapshotList = z
  .object({
    snapshots: z.array(Snapshot).meta({ description: 'One page, newest first' }),
    next_cursor: NextCursor,
  })
  .meta({ id: 'SnapshotList' });
export type SnapshotList = z.infer<typeof SnapshotList>;
