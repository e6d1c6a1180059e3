import { z } from 'zod';
import { NextCursor } from './paging.js';
import { Timestamp } from './primitives.js';

export const Process = z
  .object({
    pid: z.int().meta({ example: 123 }),
    argv: z.array(z.string()).meta({ example: ['/bin/bash', '-l', '-c', 'sleep 60'] }),
    running: z.boolean(),
    pty: z.boolean().meta({ description: 'Whether it has a terminal' }),
    tag: z.string().nullable().meta({ example: null }),
    user: z.string().meta({ example: 'user' }),
    cwd: z.string().meta({ example: '/home/user' }),
    started_at: Timestamp,
    exit_code: z.int().nullable().meta({ description: 'null while it runs', example: null }),
    signal: z.string().nullable().meta({ description: 'Signal that ended it', example: null }),
  })
  .meta({ id: 'Process' });
export type Process = z.infer<typeof Process>;

export const ProcessList = z
  .object({ processes: z.array(Process), next_cursor: NextCursor })
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
