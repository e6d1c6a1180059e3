export type { WaitOptions } from './abort.js';
export type { DialOptions } from './dial.js';
export type { Change, ChangeKind, Entry, EntryType } from './file-codec.js';
export type { FileOptions, MakeDirectoryOptions, Ownership, RecursiveOptions } from './files.js';
export { Guest } from './guest.js';
export { GuestError } from './guest-error.js';
export type { GuestInput } from './guest-input.js';
export { type ConnectOptions, GuestLink } from './guest-link.js';
export type { GuestProcess, OutputChannel, ProcessOutput } from './guest-process.js';
export type { ProcessExit, ProcessInfo, ProcessStart, TerminalSize } from './process-codec.js';
export type { FileContent, ReadFileOptions } from './read-file.js';
export type { WarnedOptions } from './requests.js';
export type { GuestResult } from './result-codes.js';
export type {
  GuestConfiguration,
  GuestInfo,
  GuestMetrics,
  GuestNetwork,
  GuestWake,
  ShutdownKind,
} from './system-codec.js';
export type { GuestWatch } from './watch.js';
export type { GuestPath } from './wire-writer.js';
export type { FileSource, WriteFileOptions } from './write-file.js';
