import { z } from 'zod';
import { NextCursor, PageQuery } from './paging.js';
import { Envs, integer, Metadata, Name, SandboxId, Timestamp } from './primitives.js';

export const MAX_VCPUS = 64;
export const MIN_MEMORY_MB = 128;
/** 1 TiB: far above any host this runs on; the host refuses what it does not have. */
export const MAX_MEMORY_MB = 1_048_576;
/** One year. */
export const MAX_TIMEOUT_SEC = 31_536_000;

export const SandboxState = z
  .enum([
    'pending',
    'running',
    'snapshotting',
    'pausing',
    'paused',
    'resuming',
    'stopping',
    'stopped',
    'error',
  ])
  .meta({ id: 'SandboxState', description: 'Where a sandbox is in its life', example: 'running' });
export type SandboxState = z.infer<typeof SandboxState>;

export const OnTimeout = z
  .enum(['pause', 'kill'])
  .meta({ description: 'What happens after `timeout_sec` without activity', example: 'pause' });

export const OnMemoryLoss = z.enum(['reboot', 'fail']).meta({
  description:
    'What happens when the memory of a paused sandbox turns out damaged or missing: boot it from its disk (`reboot`), or leave it paused and say so (`fail`)',
  example: 'reboot',
});

/** POST /v1/sandboxes. Everything has a default: `{}` makes a sandbox of template `base`. */
export const CreateSandboxRequest = z
  .strictObject({
    template: Name.default('base').meta({
      description:
        'Name of a template, or name or id of a snapshot. A snapshot fixes `vcpus` and `memory_mb`: leave them out, or say the same',
      example: 'base',
    }),
    vcpus: integer(1, MAX_VCPUS)
      .optional()
      .meta({ description: "Virtual CPUs; the template's default when left out", example: 2 }),
    memory_mb: integer(MIN_MEMORY_MB, MAX_MEMORY_MB)
      .optional()
      .meta({ description: "Memory in MiB; the template's default when left out", example: 512 }),
    timeout_sec: integer(0, MAX_TIMEOUT_SEC)
      .default(0)
      .meta({ description: 'Seconds without activity until `on_timeout` happens; 0: never', example: 0 }),
    on_timeout: OnTimeout.default('pause'),
    on_memory_loss: OnMemoryLoss.default('reboot'),
    envs: Envs.default({}),
    metadata: Metadata.default({}),
    internet: z.boolean().default(true).meta({ description: 'Whether the sandbox reaches the internet' }),
  })
  .meta({ id: 'CreateSandboxRequest' });
/** What a client sends. */
export type CreateSandboxRequest = z.input<typeof CreateSandboxRequest>;

export const Sandbox = z
  .object({
    id: SandboxId,
    state: SandboxState,
    reason: z
      .string()
      .nullable()
      .meta({ description: 'Why it is in this state, when that was not asked for', example: null }),
    template: Name,
    parent_snapshot: z
      .string()
      .nullable()
      .meta({ description: 'Id of the snapshot it was spawned from', example: null }),
    vcpus: z.int().meta({ description: 'Virtual CPUs', example: 2 }),
    memory_mb: z.int().meta({ description: 'Memory in MiB', example: 512 }),
    disk_mb: z.int().meta({ description: 'Size of the root file system in MiB', example: 4096 }),
    timeout_sec: z
      .int()
      .meta({ description: 'Seconds without activity until `on_timeout` happens; 0: never', example: 0 }),
    on_timeout: OnTimeout,
    on_memory_loss: OnMemoryLoss,
    internet: z.boolean().meta({ description: 'Whether it reaches the internet' }),
    metadata: Metadata,
    created_at: Timestamp,
    started_at: Timestamp.nullable(),
    last_active_at: Timestamp.nullable().meta({
      description: 'When it was used last: now, while a command, a file or a connection is under way',
    }),
    expires_at: Timestamp.nullable().meta({
      description: 'When `on_timeout` happens if nobody uses it; null when it never does, or does not run',
    }),
    paused_at: Timestamp.nullable().meta({ description: 'Since when it is paused; null when it is not' }),
    resumed_by: z.enum(['memory', 'reboot']).nullable().meta({
      description:
        'How it came back from its last pause: where it was (`memory`), or by a boot from its disk (`reboot`; `reason` says why when nobody asked for that)',
      example: null,
    }),
    host_id: z
      .string()
      .nullable()
      .meta({ description: 'Host it is on; null before one has taken it', example: 'host-1' }),
    host_state: z.enum(['online', 'unreachable']).nullable().meta({
      description:
        'Whether its host answers. While it does not, the sandbox is where it was, as far as anybody knows, and cannot be used',
      example: 'online',
    }),
  })
  .meta({ id: 'Sandbox' });
export type Sandbox = z.infer<typeof Sandbox>;

/** GET /v1/sandboxes. `metadata.<key>=<value>` parameters filter as well; all of them must match. */
export const ListSandboxesQuery = PageQuery.extend({
  state: SandboxState.optional(),
}).catchall(z.string());

export const SandboxList = z
  .object({
    sandboxes: z.array(Sandbox).meta({ description: 'One page, newest first' }),
    next_cursor: NextCursor,
  })
  .meta({ id: 'SandboxList' });
export type SandboxList = z.infer<typeof SandboxList>;
