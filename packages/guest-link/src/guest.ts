import type { Duplex } from 'node:stream';
import type { WaitOptions } from './abort.js';
import { type DialOptions, dial } from './dial.js';
import type { Entry } from './file-codec.js';
import * as files from './files.js';
import type { GuestInput } from './guest-input.js';
import type { GuestLink } from './guest-link.js';
import type { GuestProcess } from './guest-process.js';
import type { ProcessInfo, ProcessStart, TerminalSize } from './process-codec.js';
import * as processes from './processes.js';
import { type FileContent, type ReadFileOptions, readFile } from './read-file.js';
import type { WarnedOptions } from './requests.js';
import * as system from './system.js';
import type {
  GuestConfiguration,
  GuestInfo,
  GuestMetrics,
  GuestNetwork,
  GuestWake,
  ShutdownKind,
} from './system-codec.js';
import { type GuestWatch, watch } from './watch.js';
import type { GuestPath } from './wire-writer.js';
import { type FileSource, type WriteFileOptions, writeFile } from './write-file.js';

const NS_PER_MS = 1_000_000n;

/**
 * Everything a guest does, over one link. Paths are absolute, `~`, or relative to the user's home.
 *
 * Every operation throws GuestError when the guest refuses (decide by its `result`), and DormouseError
 * `guest_unreachable` or `guest_protocol` when the link is lost, `cancelled` or `timeout` by `signal` or `timeoutMs`.
 * `timeoutMs` defaults to 30,000 where the guest answers at once and to 600,000 where a tree or a disk is involved.
 */
export class Guest {
  readonly link: GuestLink;

  constructor(link: GuestLink) {
    this.link = link;
  }

  /**
   * Starts a process and resolves when it runs. The options bound only the start; the process of a start that was given
   * up may run all the same (`listProcesses` tells, by its tag).
   */
  startProcess(start: ProcessStart, options: WaitOptions = {}): Promise<GuestProcess> {
    return processes.startProcess(this.link, start, options);
  }

  /**
   * Attaches to a process that was started before, in this session or a former one.
   *
   * @param options `backlog`: first what the guest kept of its output, default true. The bounds: of the attaching only
   */
  attachProcess(
    pid: number,
    options: WaitOptions & { readonly backlog?: boolean } = {},
  ): Promise<GuestProcess> {
    return processes.attachProcess(this.link, pid, { backlog: true, ...options });
  }

  /** All processes started through the link: running, or ended less than a minute ago. */
  listProcesses(options: WaitOptions = {}): Promise<ProcessInfo[]> {
    return processes.listProcesses(this.link, options);
  }

  /** Sends a signal (its Linux number) to a process group. */
  signalProcess(pid: number, signal: number, options: WaitOptions = {}): Promise<void> {
    return processes.signalProcess(this.link, pid, signal, options);
  }

  /** Tells a process's terminal its size. */
  resizeProcess(pid: number, size: TerminalSize, options: WaitOptions = {}): Promise<void> {
    return processes.resizeProcess(this.link, pid, size, options);
  }

  /**
   * Opens a stream into a process's input, beside whoever else is attached.
   *
   * @param options `closeAtEnd`: ending the stream closes the process's input, default false
   */
  openInput(
    pid: number,
    options: { readonly closeAtEnd?: boolean; readonly signal?: AbortSignal } = {},
  ): Promise<GuestInput> {
    return processes.openInput(this.link, pid, { closeAtEnd: false, ...options });
  }

  /** Opens a file; its bytes come as fast as they are taken. */
  readFile(path: GuestPath, options: ReadFileOptions = {}): Promise<FileContent> {
    return readFile(this.link, path, options);
  }

  /** Writes a file and resolves with its description. What was written before a failure stays. */
  writeFile(path: GuestPath, source: FileSource, options: WriteFileOptions = {}): Promise<Entry> {
    return writeFile(this.link, path, source, options);
  }

  /** Describes one file. */
  stat(path: GuestPath, options: files.FileOptions = {}): Promise<Entry> {
    return files.stat(this.link, path, options);
  }

  /**
   * Lists a directory: byte order within each directory, a directory's content after it.
   *
   * @param options `depth`: default 1, the directory's own entries. `timeoutMs`: of the whole, default none
   */
  list(
    path: GuestPath,
    options: files.FileOptions & { readonly depth?: number } = {},
  ): AsyncGenerator<Entry, void, undefined> {
    return files.list(this.link, path, options);
  }

  /** Makes a directory. */
  makeDirectory(path: GuestPath, options: files.MakeDirectoryOptions = {}): Promise<Entry> {
    return files.makeDirectory(this.link, path, options);
  }

  /** Renames; missing parents of `to` are made. */
  rename(from: GuestPath, to: GuestPath, options: files.FileOptions = {}): Promise<Entry> {
    return files.rename(this.link, from, to, options);
  }

  /** Removes. Never follows symlinks. */
  remove(path: GuestPath, options: files.RecursiveOptions = {}): Promise<void> {
    return files.remove(this.link, path, options);
  }

  /** Sets permission bits. */
  chmod(path: GuestPath, mode: number, options: files.FileOptions = {}): Promise<Entry> {
    return files.chmod(this.link, path, mode, options);
  }

  /** Sets the owner. */
  chown(path: GuestPath, ownership: files.Ownership, options: files.RecursiveOptions = {}): Promise<Entry> {
    return files.chown(this.link, path, ownership, options);
  }

  /** Makes a symlink at `path` that holds `target` as it is. */
  symlink(target: GuestPath, path: GuestPath, options: files.FileOptions = {}): Promise<Entry> {
    return files.symlink(this.link, target, path, options);
  }

  /** All extended attributes, by name. */
  getXattrs(path: GuestPath, options: files.FileOptions = {}): Promise<Map<string, Uint8Array>> {
    return files.getXattrs(this.link, path, options);
  }

  /** Sets an extended attribute, or removes it when the value is undefined. */
  setXattr(
    path: GuestPath,
    name: string,
    value: Uint8Array | undefined,
    options: files.FileOptions = {},
  ): Promise<void> {
    return files.setXattr(this.link, path, name, value, options);
  }

  /** Watches a directory. */
  watch(path: GuestPath, options: files.RecursiveOptions = {}): Promise<GuestWatch> {
    return watch(this.link, path, options);
  }

  /** Connects to a TCP port as the guest sees it. The duplex half-closes. */
  dial(port: number, options: DialOptions = {}): Promise<Duplex> {
    return dial(this.link, port, options);
  }

  /** Names the guest and says how it starts processes. Files that could not be written are warnings. */
  configure(configuration: GuestConfiguration, options: WarnedOptions = {}): Promise<void> {
    return system.configure(this.link, configuration, options);
  }

  /** Steps the guest's clock. @param unixNs Unix time in nanoseconds, default now */
  setClock(unixNs: bigint = BigInt(Date.now()) * NS_PER_MS, options: WaitOptions = {}): Promise<void> {
    return system.setClock(this.link, unixNs, options);
  }

  /**
   * Credits 16 to 4,096 random bytes to the kernel's pool.
   *
   * @param options `reseed`: the generators use them from now on, default false
   */
  addEntropy(bytes: Uint8Array, options: WaitOptions & { readonly reseed?: boolean } = {}): Promise<void> {
    return system.addEntropy(this.link, bytes, options);
  }

  /** Writes all file systems out. */
  sync(options: WaitOptions = {}): Promise<void> {
    return system.sync(this.link, options);
  }

  /** Freezes the root file system until `thaw`. */
  freeze(options: WaitOptions = {}): Promise<void> {
    return system.freeze(this.link, options);
  }

  /** Thaws the root file system; nothing happens when it is not frozen. */
  thaw(options: WaitOptions = {}): Promise<void> {
    return system.thaw(this.link, options);
  }

  /** Reads load and space. */
  metrics(options: WaitOptions = {}): Promise<GuestMetrics> {
    return system.metrics(this.link, options);
  }

  /**
   * Begins to end the guest and resolves when that has begun.
   *
   * @param options `graceMs`: time between SIGTERM and SIGKILL, default 0
   */
  shutdown(kind: ShutdownKind, options: WaitOptions & { readonly graceMs?: number } = {}): Promise<void> {
    return system.shutdown(this.link, kind, options);
  }

  /** Asks who answers. */
  info(options: WaitOptions = {}): Promise<GuestInfo> {
    return system.info(this.link, options);
  }

  /**
   * Sets an interface's address, route and name server, or takes it down. Files that could not be written are
   * warnings.
   */
  configureNetwork(network: GuestNetwork, options: WarnedOptions = {}): Promise<void> {
    return system.configureNetwork(this.link, network, options);
  }

  /**
   * Makes every program of the guest stand still until `wake`; only its kernel and its agent go on. Nothing may be
   * started meanwhile.
   *
   * @returns false when some program was inside the kernel for longer than 2 s; it cannot run on either
   */
  hold(options: system.HoldOptions = {}): Promise<boolean> {
    return system.hold(this.link, options);
  }

  /**
   * Sets clock and randomness, renews the identity if asked to, and only then lets the programs go on. Files that could
   * not be written are warnings.
   */
  wake(wake: GuestWake, options: WarnedOptions = {}): Promise<void> {
    return system.wake(this.link, wake, options);
  }
}
