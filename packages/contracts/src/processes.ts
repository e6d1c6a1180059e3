import { z } from 'zod';
import { NextCursor } from './paging.js';
import { Timestamp } from './primitives.js';

export const Process = z
  .object({
    pid: z.int().meta({ description: 'Id of the process in the sandbox', example: 123 }),
    argv: z
      .array(z.string())
      .meta({ description: 'Program and arguments', example: ['/bin/bash', '-l', '-c', 'sleep 60'] }),
    running: z.boolean().meta({ description: 'Whether it has not ended yet' }),
    pty: z.boolean().meta({ description: 'Whether it has a terminal' }),
    tag: z.string().nullable().meta({ description: 'Name it was given when it was started', example: null }),
    user: z.string().meta({ description: 'User it was started as', example: 'user' }),
    cwd: z.string().meta({ description: 'Directory it was started in', example: '/home/user' }),
    started_at: Timestamp,
    exit_code: z.int().nullable().meta({ description: 'null while it runs', example: null }),
    signal: z.string().nullable().meta({ description: 'Signal that ended it', example: null }),
  })
  .meta({ id: 'Process' });
export type Process = z.infer<typeof Process>;

export const ProcessList = z
  .object({
    processes: z.array(Process).meta({ description: 'All of them' }),
    next_cursor: NextCursor,
  })
  .meta({ id: 'ProcessList' });
export type ProcessList = z.infer<typeof ProcessList>;

/** Query of DELETE …/processes/{pid}. */
export const SignalProcessQuery = z.object({
  signal: z
    .string()
    .max(16)
    .optional()
    .meta({ description: 'Signal to the process group; default SIGKILL', example: 'SIGTERM' }),
});
