import { PROCESS_FLAG, START_FLAG } from './protocol.js';
import { violation } from './violation.js';
import { WireReader } from './wire-reader.js';
import { WireWriter } from './wire-writer.js';

/** Size of a terminal in characters. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** What to run. */
export interface ProcessStart {
  /** Command and arguments, at least one; a command without a slash is looked up in the environment's PATH. */
  readonly argv: readonly string[];
  /** Added to the guest's and the sandbox's environment. Default: nothing. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Default: the guest's default user. */
  readonly user?: string;
  /** Default: the default work directory, else the user's home. */
  readonly cwd?: string;
  /** A name of the caller's choice, shown by the process list. Default: none. */
  readonly tag?: string;
  /** Run it in a terminal of this size. Default: no terminal, pipes. */
  readonly terminal?: TerminalSize;
  /** Keep standard input open for `writeInput`. Default: only with a terminal; else it is `/dev/null`. */
  readonly input?: boolean;
  /** Output the guest keeps for later, at most 4 MiB. Default: 262,144 bytes. */
  readonly ringBytes?: number;
  /** Whether the process list shows it. Default yes. */
  readonly listed?: boolean;
}

/** How a process ended. */
export interface ProcessExit {
  /** -1 when a signal ended it. */
  readonly exitCode: number;
  /** 0 when it ended by itself. */
  readonly signal: number;
  readonly coreDumped: boolean;
}

/** One process the guest knows: running, or ended less than a minute ago. */
export interface ProcessInfo {
  readonly pid: number;
  readonly running: boolean;
  readonly terminal: boolean;
  readonly inputOpen: boolean;
  /** Unix time in milliseconds. */
  readonly startTimeMs: number;
  /** Meaningful once it is not running any more; -1 when a signal ended it. */
  readonly exitCode: number;
  readonly signal: number;
  readonly tag: string;
  readonly user: string;
  readonly cwd: string;
  readonly argv: readonly string[];
}

/** Arguments of PROCESS_START. */
export function encodeStart(start: ProcessStart): Uint8Array {
  const { terminal, environment = {}, input = terminal !== undefined } = start;
  const flags =
    (terminal === undefined ? 0 : START_FLAG.pty) |
    (input ? START_FLAG.stdin : 0) |
    (start.listed === false ? START_FLAG.unlisted : 0);
  return new WireWriter()
    .u32(flags)
    .u16(terminal?.columns ?? 0)
    .u16(terminal?.rows ?? 0)
    .u32(start.ringBytes ?? 0)
    .str(start.user ?? '')
    .str(start.cwd ?? '')
    .str(start.tag ?? '')
    .strs(start.argv)
    .strs(environmentList(environment))
    .finish();
}

/** `NAME=value` of each variable. */
export function environmentList(environment: Readonly<Record<string, string>>): string[] {
  return Object.entries(environment).map(([name, value]) => `${name}=${value}`);
}

/** Arguments of PROCESS_ATTACH. */
export function encodeAttach(pid: number, backlog: boolean): Uint8Array {
  return new WireWriter().u32(pid).flag(backlog).finish();
}

/** Arguments of PROCESS_SIGNAL. */
export function encodeSignal(pid: number, signal: number): Uint8Array {
  return new WireWriter().u32(pid).i32(signal).finish();
}

/** Arguments of PROCESS_RESIZE. */
export function encodeResize(pid: number, size: TerminalSize): Uint8Array {
  return new WireWriter().u32(pid).u16(size.columns).u16(size.rows).finish();
}

/** Arguments of PROCESS_INPUT. */
export function encodeInput(pid: number, closeAtEnd: boolean): Uint8Array {
  return new WireWriter().u32(pid).flag(closeAtEnd).finish();
}

/** Body of STARTED. */
export function decodeStarted(body: Uint8Array): number {
  const reader = new WireReader(body, 'STARTED');
  const pid = reader.u32();
  reader.done();
  return pid;
}

/** Body of EXITED. */
export function decodeExited(body: Uint8Array): ProcessExit {
  const reader = new WireReader(body, 'EXITED');
  const exit = { exitCode: reader.i32(), signal: reader.i32(), coreDumped: reader.flag() };
  reader.done();
  return exit;
}

/** Body of PROCESS. */
export function decodeProcess(body: Uint8Array): ProcessInfo {
  const reader = new WireReader(body, 'PROCESS');
  const pid = reader.u32();
  const running = reader.flag();
  const flags = reader.u8();
  if ((flags & ~(PROCESS_FLAG.pty | PROCESS_FLAG.inputOpen)) !== 0) {
    throw violation(`PROCESS has flags ${flags}`);
  }
  reader.reserved16();
  const process = {
    pid,
    running,
    terminal: (flags & PROCESS_FLAG.pty) !== 0,
    inputOpen: (flags & PROCESS_FLAG.inputOpen) !== 0,
    startTimeMs: Number(reader.i64()),
    exitCode: reader.i32(),
    signal: reader.i32(),
    tag: reader.text(),
    user: reader.text(),
    cwd: reader.text(),
    argv: reader.texts(),
  };
  reader.done();
  return process;
}
