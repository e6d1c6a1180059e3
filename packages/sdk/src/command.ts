import type { ExecClientMessage, ExecRequest } from '@dormouse/contracts';
import type { CallOptions } from './client-options.js';

/** What to run in a sandbox. */
export interface Command {
  /** With `args`: the program. Without: a command line for bash. */
  readonly cmd: string;
  /** Arguments of the program; no shell is involved when given, even when empty. */
  readonly args?: readonly string[] | undefined;
  readonly envs?: Readonly<Record<string, string>> | undefined;
  /** Default: the user's home. */
  readonly cwd?: string | undefined;
  /** The template decides the default. */
  readonly user?: string | undefined;
}

/** How `exec` runs a command. */
export interface ExecOptions {
  readonly signal?: AbortSignal | undefined;
  /** Input of the command; none by default. */
  readonly stdin?: string | Uint8Array | undefined;
  /** Milliseconds until the command's process group is killed and the call fails with `timeout`; 0: never. */
  readonly timeoutMs?: number | undefined;
}

/** How `spawn` runs a command. */
export interface SpawnOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until the process group is killed and the stream fails with `timeout`; 0: never. */
  readonly timeoutMs?: number | undefined;
  /** false: the process reads /dev/null. Default true. */
  readonly stdin?: boolean | undefined;
  /** Run in a terminal of this size. */
  readonly pty?: { readonly cols: number; readonly rows: number } | undefined;
  /** true: the process goes on when the connection closes. Default false. */
  readonly detach?: boolean | undefined;
  /** Shown in the list of processes. */
  readonly tag?: string | undefined;
}

/** Time the answer may take beyond the command's own limit before the connection counts as dead. */
const GRACE_MS = 30_000;

/** The body of POST …/exec. */
export function execRequest(command: string | Command, options: ExecOptions): ExecRequest {
  const { stdin } = options;
  return {
    ...commandFields(command, options.timeoutMs),
    ...(typeof stdin === 'string' ? { stdin, stdin_encoding: 'utf-8' as const } : {}),
    ...(stdin instanceof Uint8Array
      ? { stdin: Buffer.from(stdin).toString('base64'), stdin_encoding: 'base64' as const }
      : {}),
  };
}

/** The client's own limits of an exec: none but those of the command. */
export function execCallOptions(options: ExecOptions): CallOptions {
  const limit = options.timeoutMs ?? 0;
  return { signal: options.signal, timeoutMs: limit === 0 ? 0 : limit + GRACE_MS };
}

/** The first message of an exec stream. */
export function startMessage(command: string | Command, options: SpawnOptions): ExecClientMessage {
  return {
    type: 'start',
    ...commandFields(command, options.timeoutMs),
    stdin: options.stdin ?? true,
    detach: options.detach ?? false,
    ...(options.pty === undefined ? {} : { pty: { ...options.pty } }),
    ...(options.tag === undefined ? {} : { tag: options.tag }),
  };
}

function commandFields(
  command: string | Command,
  timeoutMs = 0,
): Omit<ExecRequest, 'stdin' | 'stdin_encoding'> {
  const given: Command = typeof command === 'string' ? { cmd: command } : command;
  return {
    cmd: given.cmd,
    ...(given.args === undefined ? {} : { args: [...given.args] }),
    ...(given.envs === undefined ? {} : { envs: { ...given.envs } }),
    ...(given.cwd === undefined ? {} : { cwd: given.cwd }),
    ...(given.user === undefined ? {} : { user: given.user }),
    ...(timeoutMs === 0 ? {} : { timeout_sec: timeoutMs / 1000 }),
  };
}
