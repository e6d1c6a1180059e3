import { z } from 'zod';
import { commandFields, Encoding } from './exec.js';
import { integer } from './primitives.js';

/** WebSocket close codes of GET …/exec/stream besides 1000 (done) and 1011 (ours). */
export const EXEC_STREAM_CLOSE = {
  /** A message that is no JSON of the protocol, or not allowed at this point. */
  protocolError: 4400,
  /** No valid key in the header or in the first message within 5 s. */
  unauthorized: 4401,
  /** A browser page of another origin. */
  forbidden: 4403,
  /** The sandbox or process does not exist. */
  notFound: 4404,
  /** No answer to a ping, or timeout_sec passed. */
  timeout: 4408,
  /** The sandbox is not running. */
  invalidState: 4409,
} as const;

/** Longest WebSocket message a client may send. */
export const MAX_EXEC_STREAM_MESSAGE_BYTES: number = 1024 * 1024;

const base64 = z.base64('must be base64');
const size = {
  cols: integer(1, 10_000).meta({ example: 80 }),
  rows: integer(1, 10_000).meta({ example: 24 }),
};

/** First message where no header says who asks (browsers cannot set one): an API key, or the token of a login. */
export const ExecAuthMessage = z.strictObject({ type: z.literal('auth'), token: z.string().max(4096) });

export const ExecStartMessage = z.strictObject({
  type: z.literal('start'),
  ...commandFields,
  stdin: z.boolean().default(true).meta({ description: 'false: the process reads /dev/null' }),
  pty: z.strictObject(size).optional().meta({ description: 'Run in a terminal of this size' }),
  detach: z
    .boolean()
    .default(false)
    .meta({ description: 'true: the process goes on when the socket closes; otherwise it is killed' }),
  tag: z.string().max(128).optional().meta({ description: 'Shown in the list of processes' }),
});

/** Instead of `start`: follow a process that is already running. */
export const ExecAttachMessage = z.strictObject({
  type: z.literal('attach'),
  pid: integer(1, 4_194_304),
  backlog: z.boolean().default(true).meta({ description: 'First what is still held of its output' }),
});

export const ExecClientMessage = z
  .discriminatedUnion('type', [
    ExecAuthMessage,
    ExecStartMessage,
    ExecAttachMessage,
    z.strictObject({
      type: z.literal('stdin'),
      data: z.string(),
      encoding: Encoding.default('base64').meta({ description: 'How `data` is written' }),
    }),
    z.strictObject({ type: z.literal('close_stdin') }),
    z.strictObject({ type: z.literal('signal'), name: z.string().max(16).meta({ example: 'SIGINT' }) }),
    z.strictObject({ type: z.literal('resize'), ...size }),
  ])
  .meta({ id: 'ExecClientMessage', description: 'WebSocket messages from client to server' });
/** What a client sends. */
export type ExecClientMessage = z.input<typeof ExecClientMessage>;

export const ExecServerMessage = z
  .discriminatedUnion('type', [
    z.object({ type: z.literal('start'), pid: z.int() }),
    z.object({ type: z.literal('stdout'), data: base64 }),
    z.object({ type: z.literal('stderr'), data: base64 }),
    z.object({ type: z.literal('pty'), data: base64 }),
    z.object({
      type: z.literal('exit'),
      exit_code: z.int().meta({ description: '128 + signal number when a signal ended it' }),
      signal: z.string().nullable(),
    }),
    z.object({ type: z.literal('error'), code: z.string(), message: z.string() }),
  ])
  .meta({ id: 'ExecServerMessage', description: 'WebSocket messages from server to client' });
export type ExecServerMessage = z.infer<typeof ExecServerMessage>;
