import type { WaitOptions } from './abort.js';
import { GuestInput } from './guest-input.js';
import type { GuestLink } from './guest-link.js';
import { type GuestProcess, openProcess } from './guest-process.js';
import {
  decodeProcess,
  encodeAttach,
  encodeInput,
  encodeResize,
  encodeSignal,
  encodeStart,
  type ProcessInfo,
  type ProcessStart,
  type TerminalSize,
} from './process-codec.js';
import { MESSAGE, OPERATION } from './protocol.js';
import { command, items, QUICK_TIMEOUT_MS } from './requests.js';

/** Starts a process. `options` bound the start only, default 30 s. */
export async function startProcess(
  link: GuestLink,
  start: ProcessStart,
  options: WaitOptions,
): Promise<GuestProcess> {
  const operation = {
    what: `start ${start.argv[0] ?? 'nothing'}`,
    operation: OPERATION.processStart,
    args: encodeStart(start),
  };
  return openProcess(link, operation, 'started', options);
}

/** Attaches to a process. `options` bound the attaching only, default 30 s. */
export async function attachProcess(
  link: GuestLink,
  pid: number,
  options: WaitOptions & { readonly backlog: boolean },
): Promise<GuestProcess> {
  const { backlog, ...wait } = options;
  const operation = {
    what: `attach to process ${pid}`,
    operation: OPERATION.processAttach,
    args: encodeAttach(pid, backlog),
  };
  return openProcess(link, operation, 'attached', wait);
}

/** All processes the guest knows. */
export async function listProcesses(link: GuestLink, options: WaitOptions): Promise<ProcessInfo[]> {
  const operation = {
    what: 'list processes',
    operation: OPERATION.processList,
    args: new Uint8Array(),
  };
  const answer = { kind: MESSAGE.process, decode: decodeProcess };
  const processes: ProcessInfo[] = [];
  for await (const process of items(link, operation, answer, { timeoutMs: QUICK_TIMEOUT_MS, ...options })) {
    processes.push(process);
  }
  return processes;
}

/** Sends a signal to the process group. */
export async function signalProcess(
  link: GuestLink,
  pid: number,
  signal: number,
  options: WaitOptions,
): Promise<void> {
  const operation = {
    what: `signal process ${pid}`,
    operation: OPERATION.processSignal,
    args: encodeSignal(pid, signal),
  };
  return command(link, operation, { timeoutMs: QUICK_TIMEOUT_MS, ...options });
}

/** Tells the process's terminal its size. */
export async function resizeProcess(
  link: GuestLink,
  pid: number,
  size: TerminalSize,
  options: WaitOptions,
): Promise<void> {
  const operation = {
    what: `resize process ${pid}`,
    operation: OPERATION.processResize,
    args: encodeResize(pid, size),
  };
  return command(link, operation, { timeoutMs: QUICK_TIMEOUT_MS, ...options });
}

/** Opens a stream of its own to a process's input. */
export async function openInput(
  link: GuestLink,
  pid: number,
  options: { readonly closeAtEnd: boolean; readonly signal?: AbortSignal },
): Promise<GuestInput> {
  const { closeAtEnd, ...wait } = options;
  const operation = {
    what: `write to process ${pid}`,
    operation: OPERATION.processInput,
    args: encodeInput(pid, closeAtEnd),
  };
  return new GuestInput(link, operation, wait);
}
