import type { ExecRequest, ExecStartMessage, GuestUser } from '@dormouse/contracts';
import type { z } from 'zod';

/** What a process is started from, in the host's terms. */
export interface Command {
  readonly argv: string[];
  readonly envs: Record<string, string>;
  readonly cwd: string;
  readonly user: string;
  readonly timeoutMs: bigint;
}

type Wanted = Pick<
  z.output<typeof ExecRequest> | z.output<typeof ExecStartMessage>,
  'cmd' | 'args' | 'envs' | 'cwd' | 'timeout_sec'
> & { readonly user?: z.output<typeof GuestUser> | undefined };

/**
 * The process that is meant: with `args` (even none of them) a program, otherwise a line for a login shell, so
 * that PATH and profile are as in a terminal.
 */
export function toCommand(wanted: Wanted): Command {
  const argv =
    wanted.args === undefined ? ['/bin/bash', '-l', '-c', wanted.cmd] : [wanted.cmd, ...wanted.args];
  return {
    argv,
    envs: wanted.envs,
    cwd: wanted.cwd ?? '',
    user: wanted.user ?? '',
    timeoutMs: BigInt(Math.ceil(wanted.timeout_sec * 1000)),
  };
}
