import type { WaitOptions } from './abort.js';
import {
  decodeEntry,
  decodeXattr,
  type Entry,
  encodeChmod,
  encodeChown,
  encodeList,
  encodeMake,
  encodePath,
  encodeRecursive,
  encodeRename,
  encodeSymlink,
  encodeXattr,
  type Xattr,
} from './file-codec.js';
import type { GuestLink } from './guest-link.js';
import { MESSAGE, OPERATION } from './protocol.js';
import { command, items, QUICK_TIMEOUT_MS, request, SLOW_TIMEOUT_MS } from './requests.js';
import type { GuestPath } from './wire-writer.js';

/** What every file operation takes. */
export interface FileOptions extends WaitOptions {
  /**
   * Name or decimal uid of who owns what is made and whose home relative paths start from. Default: the guest's
   * default user.
   */
  readonly user?: string;
}

const ENTRY = { kind: MESSAGE.entry, decode: decodeEntry };

/** Describes one file. */
export async function stat(link: GuestLink, path: GuestPath, options: FileOptions): Promise<Entry> {
  const args = encodePath(options.user ?? '', path);
  const operation = { what: `stat ${show(path)}`, operation: OPERATION.fileStat, args };
  return request(link, operation, ENTRY, quick(options));
}

/** Lists a directory: byte order within each directory, a directory's content after it. */
export async function* list(
  link: GuestLink,
  path: GuestPath,
  options: FileOptions & { readonly depth?: number },
): AsyncGenerator<Entry, void, undefined> {
  const args = encodeList(options.user ?? '', path, options.depth ?? 1);
  const operation = { what: `list ${show(path)}`, operation: OPERATION.dirList, args };
  yield* items(link, operation, ENTRY, wait(options));
}

/** How a directory is made. */
export interface MakeDirectoryOptions extends FileOptions {
  /** Permission bits, default 0755. */
  readonly mode?: number;
  /** Make missing parents too. Default false. */
  readonly parents?: boolean;
}

/** Makes a directory. */
export async function makeDirectory(
  link: GuestLink,
  path: GuestPath,
  options: MakeDirectoryOptions,
): Promise<Entry> {
  const args = encodeMake(options.user ?? '', path, options.mode ?? 0, options.parents ?? false);
  const operation = { what: `make directory ${show(path)}`, operation: OPERATION.dirMake, args };
  return request(link, operation, ENTRY, quick(options));
}

/** Renames a file or directory; missing parents of `to` are made. */
export async function rename(
  link: GuestLink,
  from: GuestPath,
  to: GuestPath,
  options: FileOptions,
): Promise<Entry> {
  const args = encodeRename(options.user ?? '', from, to);
  const operation = { what: `rename ${show(from)}`, operation: OPERATION.fileRename, args };
  return request(link, operation, ENTRY, quick(options));
}

/** What goes with a file or directory. */
export interface RecursiveOptions extends FileOptions {
  /** Everything below a directory too. Default false. */
  readonly recursive?: boolean;
}

/** Removes a file or directory. Never follows symlinks. */
export async function remove(link: GuestLink, path: GuestPath, options: RecursiveOptions): Promise<void> {
  const args = encodeRecursive(options.user ?? '', path, options.recursive ?? false);
  const operation = { what: `remove ${show(path)}`, operation: OPERATION.fileRemove, args };
  return command(link, operation, slow(options));
}

/** Sets permission bits. */
export async function chmod(
  link: GuestLink,
  path: GuestPath,
  mode: number,
  options: FileOptions,
): Promise<Entry> {
  const args = encodeChmod(options.user ?? '', path, mode);
  const operation = { what: `chmod ${show(path)}`, operation: OPERATION.fileChmod, args };
  return request(link, operation, ENTRY, quick(options));
}

/** Who shall own a file: names or decimal ids. */
export interface Ownership {
  readonly owner: string;
  /** Default: keep. */
  readonly group?: string;
}

/** Sets the owner. */
export async function chown(
  link: GuestLink,
  path: GuestPath,
  { owner, group = '' }: Ownership,
  options: RecursiveOptions,
): Promise<Entry> {
  const args = encodeChown(options.user ?? '', path, owner, group, options.recursive ?? false);
  const operation = { what: `chown ${show(path)}`, operation: OPERATION.fileChown, args };
  return request(link, operation, ENTRY, slow(options));
}

/** Makes a symlink at `path` that holds `target` as it is. */
export async function symlink(
  link: GuestLink,
  target: GuestPath,
  path: GuestPath,
  options: FileOptions,
): Promise<Entry> {
  const args = encodeSymlink(options.user ?? '', target, path);
  const operation = { what: `symlink ${show(path)}`, operation: OPERATION.fileSymlink, args };
  return request(link, operation, ENTRY, quick(options));
}

/** All extended attributes of a file, by name. */
export async function getXattrs(
  link: GuestLink,
  path: GuestPath,
  options: FileOptions,
): Promise<Map<string, Uint8Array>> {
  const args = encodePath(options.user ?? '', path);
  const operation = { what: `read attributes of ${show(path)}`, operation: OPERATION.xattrGet, args };
  const answer = { kind: MESSAGE.xattr, decode: decodeXattr };
  const xattrs: Xattr[] = [];
  for await (const xattr of items(link, operation, answer, quick(options))) xattrs.push(xattr);
  return new Map(xattrs.map(({ name, value }) => [name, value]));
}

/** Sets an extended attribute, or removes it when the value is undefined. */
export async function setXattr(
  link: GuestLink,
  path: GuestPath,
  name: string,
  value: Uint8Array | undefined,
  options: FileOptions,
): Promise<void> {
  const args = encodeXattr(options.user ?? '', path, name, value);
  const operation = { what: `set attribute of ${show(path)}`, operation: OPERATION.xattrSet, args };
  return command(link, operation, quick(options));
}

/** A path for people. */
export function show(path: GuestPath): string {
  return typeof path === 'string' ? path : Buffer.from(path).toString('utf8');
}

/** The bounds among a file operation's options. */
export function wait({ signal, timeoutMs }: WaitOptions): WaitOptions {
  return {
    ...(signal === undefined ? {} : { signal }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  };
}

function quick(options: FileOptions): WaitOptions {
  return { timeoutMs: QUICK_TIMEOUT_MS, ...wait(options) };
}

function slow(options: FileOptions): WaitOptions {
  return { timeoutMs: SLOW_TIMEOUT_MS, ...wait(options) };
}
