import { constants } from 'node:os';
import type { Command, Sandbox, SandboxProcess } from '@dormouse/sdk';
import { enterRawMode, terminalSize } from './raw-terminal.js';

export interface ExecTarget {
  readonly sandbox: Sandbox;
  readonly command: string | Command;
  readonly timeoutMs?: number | undefined;
  /** Whether this program's input is passed on. */
  readonly stdin: boolean;
  /** Whether the command gets a terminal. */
  readonly tty: boolean;
}

/**
 * Runs a command with this program's input and output.
 *
 * @returns its exit code: 128 + signal number when a signal ended it
 */
export async function execHere({ sandbox, command, timeoutMs, stdin, tty }: ExecTarget): Promise<number> {
  const pty = tty ? terminalSize() : undefined;
  await using process_ = await sandbox.spawn(command, { timeoutMs, stdin: stdin || tty, pty });
  return await (tty ? followOnTerminal(process_) : followOnPipes(process_, stdin));
}

async function followOnPipes(remote: SandboxProcess, stdin: boolean): Promise<number> {
  let interrupts = 0;
  const interrupt = (): void => {
    interrupts += 1;
    // The first one is the command's to handle; who insists wants out, and leaving kills it.
    if (interrupts === 1) remote.kill('SIGINT').catch(() => {});
    else remote.close();
  };
  const terminate = (): void => {
    remote.kill('SIGTERM').catch(() => {});
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', terminate);
  const input = stdin ? passInput(remote) : undefined;
  try {
    return await passOutput(remote, () => interrupts > 1);
  } finally {
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', terminate);
    input?.stop();
  }
}

async function followOnTerminal(remote: SandboxProcess): Promise<number> {
  const resize = (): void => {
    const { cols, rows } = terminalSize();
    remote.resize(cols, rows).catch(() => {});
  };
  const leaveRawMode = enterRawMode();
  process.stdout.on('resize', resize);
  const input = passInput(remote);
  try {
    return await passOutput(remote, () => false);
  } finally {
    process.stdout.off('resize', resize);
    input.stop();
    leaveRawMode();
  }
}

/** Copies the command's output to ours; waiting for ours to drain is what slows the command down. */
async function passOutput(remote: SandboxProcess, gaveUp: () => boolean): Promise<number> {
  try {
    for await (const event of remote) {
      if (event.type === 'exit') return event.exitCode;
      const taken = await writeAll(event.type === 'stderr' ? process.stderr : process.stdout, event.data);
      // Leaving ends the command, as a local one is ended by a pipe that nobody reads.
      if (!taken) return 128 + constants.signals.SIGPIPE;
    }
  } catch (thrown) {
    if (!gaveUp()) throw thrown;
  }
  return 128 + constants.signals.SIGINT;
}

/** @returns false when nobody reads any more */
function writeAll(stream: NodeJS.WriteStream, data: Uint8Array): Promise<boolean> {
  return new Promise((resolve) => {
    stream.write(data, (error) => resolve(!error));
  });
}

/** Copies our input to the command, one piece at a time. */
function passInput(remote: SandboxProcess): { stop: () => void } {
  const source = process.stdin;
  const copy = async (): Promise<void> => {
    for await (const piece of source) await remote.stdin.write(piece as Buffer);
    await remote.stdin.end();
  };
  // The command may well end before its input does.
  copy().catch(() => {});
  return {
    stop: () => {
      source.destroy();
    },
  };
}
