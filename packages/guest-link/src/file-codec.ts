import { isUtf8 } from 'node:buffer';
import { READ_TO_END, WRITE_FLAG } from './protocol.js';
import { violation } from './violation.js';
import { WireReader } from './wire-reader.js';
import { type GuestPath, WireWriter } from './wire-writer.js';

/** What a directory entry is. */
export type EntryType = 'file' | 'directory' | 'symlink' | 'other';

/** The description of one file. */
export interface Entry {
  /** The entry itself, not followed. */
  readonly type: EntryType;
  /** What a symlink finally leads to, `broken` when nowhere; else equal to `type`. */
  readonly targetType: EntryType | 'broken';
  /** Permission bits (07777) of the target where there is one. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: bigint;
  /** Unix time. */
  readonly modifiedSeconds: number;
  readonly modifiedNanoseconds: number;
  readonly name: string;
  readonly path: string;
  /** The exact path, present only when it is not UTF-8 (`name` and `path` then show U+FFFD). */
  readonly rawPath?: Uint8Array;
  /** User name, or the uid in decimal when it has none. */
  readonly owner: string;
  readonly group: string;
  /** Where a symlink leads: fully resolved, or as it was written when it cannot be. Empty for anything else. */
  readonly symlinkTarget: string;
}

/** An extended attribute. */
export interface Xattr {
  readonly name: string;
  readonly value: Uint8Array;
}

/** What happened to a watched name; `overflow`: events were lost and the directory should be read again. */
export type ChangeKind = 'create' | 'write' | 'remove' | 'rename' | 'chmod' | 'overflow';

/** One event of a watched directory. */
export interface Change {
  readonly kind: ChangeKind;
  /** Relative to the watched directory. */
  readonly name: string;
}

const ENTRY_TYPES: readonly (EntryType | 'broken')[] = ['broken', 'file', 'directory', 'symlink', 'other'];
const CHANGE_KINDS: readonly ChangeKind[] = ['create', 'write', 'remove', 'rename', 'chmod', 'overflow'];

/** Arguments that name one file: FILE_STAT, XATTR_GET, and the beginning of most others. */
export function encodePath(user: string, path: GuestPath): Uint8Array {
  return on(user, path).finish();
}

/** Arguments of FILE_READ. `length` undefined: to the end. */
export function encodeRead(user: string, path: GuestPath, offset: bigint, length?: bigint): Uint8Array {
  return on(user, path)
    .u64(offset)
    .u64(length ?? READ_TO_END)
    .finish();
}

/** How FILE_WRITE treats the file. */
export interface WriteArguments {
  readonly parents: boolean;
  readonly append: boolean;
  /** Permissions of a file that is made anew, 0: the guest's default. */
  readonly mode: number;
  /** Write here and do not truncate; undefined: from the beginning, truncating. */
  readonly offset: bigint | undefined;
}

/** Arguments of FILE_WRITE. */
export function encodeWrite(user: string, path: GuestPath, write: WriteArguments): Uint8Array {
  const flags =
    (write.parents ? WRITE_FLAG.parents : 0) |
    (write.append ? WRITE_FLAG.append : 0) |
    (write.offset === undefined ? 0 : WRITE_FLAG.atOffset);
  return on(user, path)
    .u32(flags)
    .u32(write.mode)
    .u64(write.offset ?? 0n)
    .finish();
}

/** Arguments of DIR_LIST. */
export function encodeList(user: string, path: GuestPath, depth: number): Uint8Array {
  return on(user, path).u32(depth).finish();
}

/** Arguments of DIR_MAKE. */
export function encodeMake(user: string, path: GuestPath, mode: number, parents: boolean): Uint8Array {
  return on(user, path).u32(mode).flag(parents).finish();
}

/** Arguments of FILE_RENAME. */
export function encodeRename(user: string, from: GuestPath, to: GuestPath): Uint8Array {
  return on(user, from).str(to).finish();
}

/** Arguments of FILE_REMOVE and of DIR_WATCH. */
export function encodeRecursive(user: string, path: GuestPath, recursive: boolean): Uint8Array {
  return on(user, path).flag(recursive).finish();
}

/** Arguments of FILE_CHMOD. */
export function encodeChmod(user: string, path: GuestPath, mode: number): Uint8Array {
  return on(user, path).u32(mode).finish();
}

/** Arguments of FILE_CHOWN. */
export function encodeChown(
  user: string,
  path: GuestPath,
  owner: string,
  group: string,
  recursive: boolean,
): Uint8Array {
  return on(user, path).str(owner).str(group).flag(recursive).finish();
}

/** Arguments of FILE_SYMLINK. */
export function encodeSymlink(user: string, target: GuestPath, path: GuestPath): Uint8Array {
  return new WireWriter().str(user).str(target).str(path).finish();
}

/** Arguments of XATTR_SET; a value of undefined removes the attribute. */
export function encodeXattr(
  user: string,
  path: GuestPath,
  name: string,
  value: Uint8Array | undefined,
): Uint8Array {
  return on(user, path)
    .str(name)
    .flag(value === undefined)
    .bytes(value ?? new Uint8Array())
    .finish();
}

/** Body of ENTRY. */
export function decodeEntry(body: Uint8Array): Entry {
  const reader = new WireReader(body, 'ENTRY');
  const type = entryType(reader.u8());
  const targetType = entryType(reader.u8());
  if (type === 'broken') throw violation('ENTRY has no type');
  reader.reserved16();
  const numbers = {
    mode: reader.u32(),
    uid: reader.u32(),
    gid: reader.u32(),
    sizeBytes: reader.u64(),
    modifiedSeconds: Number(reader.i64()),
    modifiedNanoseconds: reader.u32(),
  };
  const name = reader.text();
  const rawPath = reader.bytes();
  const entry = {
    type,
    targetType,
    ...numbers,
    name,
    path: Buffer.from(rawPath).toString('utf8'),
    owner: reader.text(),
    group: reader.text(),
    symlinkTarget: reader.text(),
  };
  reader.done();
  return isUtf8(rawPath) ? entry : { ...entry, rawPath: Uint8Array.from(rawPath) };
}

/** Body of XATTR. The value is a copy. */
export function decodeXattr(body: Uint8Array): Xattr {
  const reader = new WireReader(body, 'XATTR');
  const xattr = { name: reader.text(), value: Uint8Array.from(reader.bytes()) };
  reader.done();
  return xattr;
}

/** Body of CHANGED. */
export function decodeChange(body: Uint8Array): Change {
  const reader = new WireReader(body, 'CHANGED');
  const number = reader.u8();
  const name = reader.text();
  reader.done();
  const kind = CHANGE_KINDS[number - 1];
  if (kind === undefined) throw violation(`CHANGED has kind ${number}`);
  return { kind, name };
}

function on(user: string, path: GuestPath): WireWriter {
  return new WireWriter().str(user).str(path);
}

function entryType(number: number): EntryType | 'broken' {
  const type = ENTRY_TYPES[number];
  if (type === undefined) throw violation(`ENTRY has type ${number}`);
  return type;
}
