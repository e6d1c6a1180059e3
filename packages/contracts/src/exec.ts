import { z } from 'zod';
import { Argument, Envs, GuestPath, GuestUser } from './primitives.js';

/** Most bytes of stdout, and of stderr, that POST …/exec keeps. */
export const MAX_EXEC_OUTPUT_BYTES: number = 10 * 1024 * 1024;

/** One day: longer work belongs on a stream that can be re-attached. */
export const MAX_EXEC_TIMEOUT_SEC = 86_400;

/** How bytes are written in a JSON string. */
export const Encoding = z.enum(['utf-8', 'base64']);
export type Encoding = z.infer<typeof Encoding>;

/** What to run; shared by POST …/exec and the stream's `start`. */
export const commandFields = {
  cmd: Argument.min(1, 'must not be empty').meta({
    description: 'With `args`: the program. Without: a command line for `/bin/bash -l -c`',
    example: 'echo hello',
  }),
  args: z
    .array(Argument)
    .max(10_000)
    .optional()
    .meta({ description: 'Arguments of the program; no shell is involved when given (even when empty)' }),
  envs: Envs.default({}),
  cwd: GuestPath.optional().meta({ description: "Working directory; the user's home when left out" }),
  user: GuestUser.optional(),
  timeout_sec: z.number().min(0).max(MAX_EXEC_TIMEOUT_SEC).default(0).meta({
    description: 'Seconds until the process group is killed and the answer is 408; 0: never',
    example: 30,
  }),
};

export const ExecRequest = z
  .strictObject({
    ...commandFields,
    stdin: z
      .string()
      .optional()
      .meta({ description: 'Input of the process; none when left out', example: 'yes\n' }),
    stdin_encoding: Encoding.default('utf-8').meta({ description: 'How `stdin` is written' }),
  })
  .meta({ id: 'ExecRequest' });
/** What a client sends. */
export type ExecRequest = z.input<typeof ExecRequest>;

export const ExecResult = z
  .object({
    stdout: z.string().meta({ description: 'What was written to standard output', example: 'hello\n' }),
    stderr: z.string().meta({ description: 'What was written to standard error', example: '' }),
    exit_code: z.int().meta({ description: '128 + signal number when a signal ended it', example: 0 }),
    signal: z.string().nullable().meta({ description: 'Signal that ended it', example: null }),
    duration_ms: z.int().meta({ description: 'From start to end, in milliseconds', example: 12 }),
    encoding: Encoding.meta({
      description: '`base64` (of both outputs) when one of them is not valid UTF-8',
      example: 'utf-8',
    }),
    truncated: z.boolean().meta({
      description: 'More than 10 MiB were written to an output; the rest was discarded',
      example: false,
    }),
  })
  .meta({ id: 'ExecResult' });
export type ExecResult = z.infer<typeof ExecResult>;
