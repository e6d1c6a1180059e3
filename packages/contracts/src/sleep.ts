import { z } from 'zod';
import { ErrorBody } from './error.js';
import { integer } from './primitives.js';
import { MAX_TIMEOUT_SEC, OnMemoryLoss, Sandbox } from './sandbox.js';

/** Most children of one fork. */
export const MAX_FORK_COUNT = 100;

const newTimeout = integer(0, MAX_TIMEOUT_SEC).optional();

/** Body of POST …/pause. */
export const PauseSandboxRequest = z
  .strictObject({
    memory: z.boolean().default(true).meta({
      description: 'false: keep the disk alone; memory and processes are lost, and the next start is a boot',
    }),
  })
  .meta({ id: 'PauseSandboxRequest' });
/** What a client sends. */
export type PauseSandboxRequest = z.input<typeof PauseSandboxRequest>;

/** Body of POST …/resume. */
export const ResumeSandboxRequest = z
  .strictObject({
    timeout_sec: newTimeout.meta({
      description: 'A new `timeout_sec` for the sandbox, running or paused; as it was when left out',
      example: 600,
    }),
    reboot: z.boolean().default(false).meta({
      description: 'Boot from the disk, even where there is memory: processes are lost, files stay',
    }),
    on_memory_loss: OnMemoryLoss.optional(),
  })
  .meta({ id: 'ResumeSandboxRequest' });
/** What a client sends. */
export type ResumeSandboxRequest = z.input<typeof ResumeSandboxRequest>;

/** Body of POST …/fork. */
export const ForkSandboxRequest = z
  .strictObject({
    count: integer(1, MAX_FORK_COUNT).default(1).meta({ description: 'How many children', example: 3 }),
    timeout_sec: newTimeout.meta({
      description: "`timeout_sec` of the children; the source's when left out",
      example: 600,
    }),
  })
  .meta({ id: 'ForkSandboxRequest' });
/** What a client sends. */
export type ForkSandboxRequest = z.input<typeof ForkSandboxRequest>;

export const ForkResult = z
  .union([
    z.object({ sandbox: Sandbox }),
    z.object({
      error: ErrorBody.shape.error.omit({ request_id: true }).meta({ description: 'Why there is none' }),
    }),
  ])
  .meta({ id: 'ForkResult', description: 'A child that runs, or why there is none' });
export type ForkResult = z.infer<typeof ForkResult>;

export const ForkResults = z
  .object({ results: z.array(ForkResult).meta({ description: 'One for each child' }) })
  .meta({ id: 'ForkResults' });
export type ForkResults = z.infer<typeof ForkResults>;
