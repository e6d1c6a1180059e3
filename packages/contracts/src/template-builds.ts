import { z } from 'zod';
import { NextCursor, PageQuery } from './paging.js';
import { Argument, Envs, FileMode, GuestPath, GuestUser, integer, Name, Timestamp } from './primitives.js';
import { MAX_MEMORY_MB, MAX_VCPUS, MIN_MEMORY_MB } from './sandbox.js';
import { SnapshotName } from './snapshots.js';

/** Most steps of a recipe. */
export const MAX_BUILD_STEPS = 100;

const absolute = GuestPath.refine((path) => path.startsWith('/'), 'must be absolute');
const command = Argument.min(1, 'must not be empty').max(65_536);

export const BuildStep = z
  .discriminatedUnion('type', [
    z.strictObject({
      type: z.literal('run'),
      command: command.meta({ description: 'For `/bin/sh -e -c`', example: 'pip install requests' }),
    }),
    z.strictObject({
      type: z.literal('copy'),
      path: absolute.meta({ description: 'Where to; folders on the way are made', example: '/srv/app.py' }),
      content: z.string().meta({ description: 'All of the file', example: "print('hi')\n" }),
      encoding: z
        .enum(['utf-8', 'base64'])
        .default('utf-8')
        .meta({ description: 'How `content` is written' }),
      mode: FileMode.default('0644'),
    }),
    z.strictObject({
      type: z.literal('env'),
      envs: Envs.meta({
        description: 'For what follows, and for everything in sandboxes that begin with the template',
        example: { PORT: '8000' },
      }),
    }),
    z.strictObject({
      type: z.literal('workdir'),
      path: absolute.meta({
        description: 'Where commands of what follows begin, and of what is made of the template',
      }),
    }),
    z.strictObject({
      type: z.literal('user'),
      name: GuestUser.meta({
        description: 'User of commands of what follows, and of what is made of the template',
      }),
    }),
  ])
  .meta({ id: 'BuildStep', description: 'One step of a recipe' });
export type BuildStep = z.infer<typeof BuildStep>;

/** POST /v1/templates. */
export const CreateTemplateBuildRequest = z
  .strictObject({
    name: SnapshotName.meta({
      description:
        'What the template is called; one of this name that was built before is replaced when this is ready',
      example: 'web',
    }),
    from: Name.default('base').meta({
      description:
        'What it begins with: a template, or name or id of a snapshot, which fixes `vcpus` and `memory_mb`',
      example: 'base',
    }),
    steps: z
      .array(BuildStep)
      .max(MAX_BUILD_STEPS)
      .default([])
      .meta({ description: 'What is done, in this order' }),
    start_command: command.optional().meta({
      description: 'Started last, and left running: sandboxes begin with it running',
      example: 'python3 -m http.server 8000',
    }),
    ready_command: command.optional().meta({
      description: 'Asked every second, for 120 s at most, until it succeeds: only then is the moment kept',
      example: 'test -S /run/app.sock',
    }),
    vcpus: integer(1, MAX_VCPUS)
      .optional()
      .meta({ description: 'Virtual CPUs; as what it begins with when left out', example: 2 }),
    memory_mb: integer(MIN_MEMORY_MB, MAX_MEMORY_MB)
      .optional()
      .meta({ description: 'Memory in MiB; as what it begins with when left out', example: 512 }),
    step_timeout_sec: integer(1, 86_400)
      .default(900)
      .meta({ description: 'How long one step may take', example: 900 }),
    cache: z.boolean().default(true).meta({
      description: 'false: do every step again',
    }),
  })
  .meta({ id: 'CreateTemplateBuildRequest' });
/** What a client sends. */
export type CreateTemplateBuildRequest = z.input<typeof CreateTemplateBuildRequest>;

export const TemplateBuild = z
  .object({
    id: z.string().meta({ description: 'Id of the build', example: 'tb4f9k2m7q1x8c3v6b0n5z' }),
    name: Name,
    from: Name,
    state: z
      .enum(['queued', 'running', 'ready', 'failed', 'cancelled'])
      .meta({ description: 'How far it is' }),
    steps: z.int().meta({ description: 'How many steps the recipe has', example: 3 }),
    step: z.int().meta({ description: 'How many of them are done', example: 2 }),
    cached_steps: z.int().meta({ description: 'How many of those an earlier build had done', example: 1 }),
    snapshot_id: z
      .string()
      .nullable()
      .meta({ description: 'What it became; null until it is ready', example: 'sn4f9k2m7q1x8c3v6b0n5z' }),
    error: z.string().nullable().meta({ description: 'Why it failed', example: null }),
    created_at: Timestamp,
    started_at: Timestamp.nullable(),
    finished_at: Timestamp.nullable(),
  })
  .meta({ id: 'TemplateBuild' });
export type TemplateBuild = z.infer<typeof TemplateBuild>;

export const TemplateBuildList = z
  .object({
    builds: z.array(TemplateBuild).meta({ description: 'One page, newest first' }),
    next_cursor: NextCursor,
  })
  .meta({ id: 'TemplateBuildList' });
export type TemplateBuildList = z.infer<typeof TemplateBuildList>;

export const ListTemplateBuildsQuery = PageQuery;

export const BuildLogsQuery = z.object({
  follow: z.enum(['true', 'false']).optional().meta({
    description: 'true: go on until the build is done. Otherwise what there is by now',
  }),
});

export const BuildLogEntry = z
  .object({
    step: z.int().meta({ description: 'Which step, from 1; 0: none', example: 1 }),
    stream: z.enum(['build', 'stdout', 'stderr']).meta({ description: '`build`: of the build itself' }),
    text: z.string().meta({ example: 'Successfully installed requests\n' }),
    at: Timestamp,
  })
  .meta({ id: 'BuildLogEntry', description: 'One line of the log, in JSON' });
export type BuildLogEntry = z.infer<typeof BuildLogEntry>;
