import { z } from 'zod';
import { ErrorBody } from './error.js';
import { NextCursor, PageQuery } from './paging.js';
import { Envs, GuestPath, integer, Metadata, Name, SandboxId, Timestamp } from './primitives.js';
import {
  MAX_MEMORY_MB,
  MAX_TIMEOUT_SEC,
  MAX_VCPUS,
  MIN_MEMORY_MB,
  Sandbox,
  SandboxState,
} from './sandbox.js';
import { Description } from './snapshots.js';

/** Most automatic moments that a project may be told to keep. */
export const MAX_KEEP_LAST = 1000;

/** Project ids. */
export const PROJECT_ID_PATTERN: RegExp = /^pj[a-z0-9]{20}$/;

/** The name of a new project. What looks like an id would be mistaken for one. */
export const ProjectName = Name.refine(
  (name) => !PROJECT_ID_PATTERN.test(name),
  'must not look like the id of a project',
).meta({ description: 'Unique in the team: letters, digits, `.`, `_`, `-`; at most 64', example: 'thesis' });

export const KeepLast = integer(1, MAX_KEEP_LAST).meta({
  description: 'How many of the newest automatic moments are kept; those with a description stay anyway',
  example: 10,
});

export const WorkspacePath = GuestPath.refine((path) => path.startsWith('/'), 'must be absolute').meta({
  description: 'Directory in the sandbox whose files are counted when a moment is kept',
  example: '/home/user',
});

/** POST /v1/projects. */
export const CreateProjectRequest = z
  .strictObject({
    name: ProjectName,
    template: Name.default('base').meta({
      description:
        'What it begins with: a template, or name or id of a snapshot, which fixes `vcpus` and `memory_mb`',
      example: 'base',
    }),
    keep_last: KeepLast.default(10),
    workspace: WorkspacePath.default('/home/user'),
    vcpus: integer(1, MAX_VCPUS)
      .optional()
      .meta({ description: "Virtual CPUs; the template's default when left out", example: 2 }),
    memory_mb: integer(MIN_MEMORY_MB, MAX_MEMORY_MB)
      .optional()
      .meta({ description: "Memory in MiB; the template's default when left out", example: 512 }),
    timeout_sec: integer(0, MAX_TIMEOUT_SEC)
      .default(0)
      .meta({ description: 'Seconds without activity until its sandbox is paused; 0: never', example: 0 }),
    internet: z.boolean().default(true).meta({ description: 'Whether its sandbox reaches the internet' }),
    envs: Envs.default({}),
    metadata: Metadata.default({}),
  })
  .meta({ id: 'CreateProjectRequest' });
/** What a client sends. */
export type CreateProjectRequest = z.input<typeof CreateProjectRequest>;

export const Project = z
  .object({
    id: z.string().meta({ description: 'Never changes', example: 'pj4f9k2m7q1x8c3v6b0n5z' }),
    name: Name,
    state: z.enum(['open', 'closed']).meta({
      description: '`open` while it has a sandbox, running or paused',
      example: 'open',
    }),
    template: Name,
    keep_last: KeepLast,
    workspace: z.string().meta({
      description: 'Directory in the sandbox whose files are counted when a moment is kept',
      example: '/home/user',
    }),
    vcpus: z.int().nullable().meta({ description: "null: the template's default", example: null }),
    memory_mb: z.int().nullable().meta({ description: "null: the template's default", example: null }),
    timeout_sec: z
      .int()
      .meta({ description: 'Seconds without activity until its sandbox is paused; 0: never', example: 0 }),
    internet: z.boolean().meta({ description: 'Whether its sandbox reaches the internet' }),
    metadata: Metadata,
    sandbox_id: SandboxId.nullable().meta({ description: 'The sandbox it is open in; null: it is closed' }),
    sandbox_state: SandboxState.nullable().meta({
      description: 'State of its sandbox; null when it has none',
    }),
    snapshot_id: z.string().nullable().meta({
      description: 'The moment it was last saved to or restored to: where it opens when it is closed',
      example: 'sn4f9k2m7q1x8c3v6b0n5z',
    }),
    created_at: Timestamp,
    opened_at: Timestamp.nullable(),
    saved_at: Timestamp.nullable(),
  })
  .meta({ id: 'Project' });
export type Project = z.infer<typeof Project>;

export const ListProjectsQuery = PageQuery;

export const ProjectList = z
  .object({
    projects: z.array(Project).meta({ description: 'One page, newest first' }),
    next_cursor: NextCursor,
  })
  .meta({ id: 'ProjectList' });
export type ProjectList = z.infer<typeof ProjectList>;

export const RestoredFrom = z.enum(['live', 'snapshot', 'template']).meta({
  id: 'RestoredFrom',
  description:
    'What the sandbox began with: itself (`live`: it ran, or was paused), a kept moment, or the template alone',
  example: 'live',
});
export type RestoredFrom = z.infer<typeof RestoredFrom>;

export const OpenedProject = z
  .object({
    project: Project,
    sandbox: Sandbox,
    restored_from: RestoredFrom,
    snapshot_id: z.string().nullable().meta({
      description: 'The moment it was restored from; null unless `restored_from` is `snapshot`',
      example: null,
    }),
    restore_error: ErrorBody.shape.error.omit({ request_id: true }).nullable().meta({
      description:
        'Why it is not where it was: what failed before this worked. null: it is where it was, or there was nothing of it yet',
    }),
  })
  .meta({ id: 'OpenedProject' });
export type OpenedProject = z.infer<typeof OpenedProject>;

/** Body of POST …/save. */
export const SaveProjectRequest = z
  .strictObject({
    description: Description.min(1, 'must not be empty').optional().meta({
      description: 'What this moment is, for people. A moment with a description is kept until it is deleted',
      example: 'before the migration',
    }),
    metadata: Metadata.default({}),
  })
  .meta({ id: 'SaveProjectRequest' });
/** What a client sends. */
export type SaveProjectRequest = z.input<typeof SaveProjectRequest>;

export const ProjectSnapshot = z
  .object({
    id: z.string().meta({
      description: 'Id of the snapshot, which is one like any other: see `GET /v1/snapshots/{name}`',
      example: 'sn4f9k2m7q1x8c3v6b0n5z',
    }),
    description: z.string().nullable().meta({
      description: 'null: kept automatically, and removed when `keep_last` newer ones are',
      example: 'before the migration',
    }),
    created_at: Timestamp,
    file_count: z.int().nullable().meta({
      description:
        'Regular files below `workspace`, counted in the sandbox; null: it was asleep, or counting failed or took too long',
      example: 128,
    }),
    size_mb: z.number().nullable().meta({ description: 'What they hold, in MiB', example: 3.25 }),
    metadata: Metadata,
  })
  .meta({ id: 'ProjectSnapshot', description: 'A moment of a project that was kept' });
export type ProjectSnapshot = z.infer<typeof ProjectSnapshot>;

export const ProjectSnapshotList = z
  .object({
    snapshots: z.array(ProjectSnapshot).meta({ description: 'One page, newest first' }),
    next_cursor: NextCursor,
  })
  .meta({ id: 'ProjectSnapshotList' });
export type ProjectSnapshotList = z.infer<typeof ProjectSnapshotList>;

/** Body of POST …/restore. */
export const RestoreProjectRequest = z
  .strictObject({
    snapshot_id: z.string().min(1).max(64).meta({
      description: 'Which moment: an id of `GET …/snapshots`',
      example: 'sn4f9k2m7q1x8c3v6b0n5z',
    }),
  })
  .meta({ id: 'RestoreProjectRequest' });
/** What a client sends. */
export type RestoreProjectRequest = z.input<typeof RestoreProjectRequest>;

export const ClosedProject = z
  .object({
    project: Project,
    snapshot: ProjectSnapshot.nullable().meta({
      description: 'The moment that was kept; null: there was nothing open to keep',
    }),
  })
  .meta({ id: 'ClosedProject' });
export type ClosedProject = z.infer<typeof ClosedProject>;
