import { createReadStream, createWriteStream } from 'node:fs';
import { lstat, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { basename, join, posix } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream as WebStream } from 'node:stream/web';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import { ApiError, type FileEntry, type Files } from '@dormouse/sdk';
import type { CopyPlan } from './copy-location.js';

/** What a copy did. */
export interface CopyResult {
  readonly files: number;
  readonly bytes: number;
  /** Paths that are neither file nor directory, or links to no file. */
  readonly skipped: readonly string[];
}

/** Piece of a file read at once. */
const PIECE_BYTES = 256 * 1024;

interface Tally {
  files: number;
  bytes: number;
  skipped: string[];
}

/**
 * Copies a file or a whole directory between this machine and a sandbox, in pieces: no file is held in memory.
 * Like `cp -r`: a destination that is a directory receives the source under its name. Links are followed to files
 * and left out otherwise.
 *
 * @param user whose rights count in the sandbox
 */
export async function copy(plan: CopyPlan, files: Files, user: string | undefined): Promise<CopyResult> {
  const tally: Tally = { files: 0, bytes: 0, skipped: [] };
  if (plan.direction === 'upload') await new Upload(files, user, tally).run(plan.from, plan.to.path);
  else await new Download(files, user, tally).run(plan.from.path, plan.to);
  return tally;
}

class Upload {
  constructor(
    readonly files: Files,
    readonly user: string | undefined,
    readonly tally: Tally,
  ) {}

  async run(from: Extract<CopyPlan, { direction: 'upload' }>['from'], to: string): Promise<void> {
    if (from.kind === 'stream') {
      await this.#write(process.stdin, to, undefined);
      return;
    }
    const source = await statLocal(from.path);
    const name = basename(join(process.cwd(), from.path));
    const target = (await this.#isDirectory(to)) || to.endsWith('/') ? posix.join(to, name) : to;
    if (source.isDirectory()) await this.#directory(from.path, target);
    else await this.#file(from.path, target);
  }

  async #directory(from: string, to: string): Promise<void> {
    await this.files.makeDirectory(to, { user: this.user });
    for (const entry of await readdir(from, { withFileTypes: true })) {
      const [source, target] = [join(from, entry.name), posix.join(to, entry.name)];
      if (entry.isDirectory()) await this.#directory(source, target);
      else if (entry.isFile() || (await leadsToFile(source))) await this.#file(source, target);
      else this.tally.skipped.push(source);
    }
  }

  async #file(from: string, to: string): Promise<void> {
    const { mode } = await stat(from);
    const bits = (mode & 0o7777).toString(8).padStart(4, '0');
    await this.#write(createReadStream(from, { highWaterMark: PIECE_BYTES }), to, bits);
  }

  async #write(source: AsyncIterable<Uint8Array>, to: string, mode: string | undefined): Promise<void> {
    const counted = count(source, (bytes) => {
      this.tally.bytes += bytes;
    });
    await this.files.write(to, counted, { user: this.user, mode });
    this.tally.files += 1;
  }

  async #isDirectory(path: string): Promise<boolean> {
    return (await listOrUndefined(this.files, path, this.user)) !== undefined;
  }
}

class Download {
  constructor(
    readonly files: Files,
    readonly user: string | undefined,
    readonly tally: Tally,
  ) {}

  async run(from: string, to: Extract<CopyPlan, { direction: 'download' }>['to']): Promise<void> {
    if (to.kind === 'stream') {
      const source = await this.files.readStream(from, { user: this.user });
      await pipeline(this.#counted(source), process.stdout, { end: false });
      this.tally.files += 1;
      return;
    }
    const entries = await listOrUndefined(this.files, from, this.user);
    const intoDirectory = to.path.endsWith('/') || (await isLocalDirectory(to.path));
    const name = safeName(posix.basename(posix.resolve('/', from)) || 'root');
    const target = intoDirectory ? join(to.path, name) : to.path;
    if (entries === undefined) await this.#file(from, target, undefined);
    else await this.#directory(entries, target);
  }

  async #directory(entries: AsyncIterable<FileEntry>, to: string): Promise<void> {
    await makeLocalDirectory(to);
    for await (const entry of entries) {
      const target = join(to, safeName(entry.name));
      if (entry.type === 'directory') {
        await this.#directory(this.files.list(entry.path, { user: this.user }), target);
      } else if (entry.type === 'file' || entry.targetType === 'file') {
        await this.#file(entry.path, target, Number.parseInt(entry.mode, 8));
      } else {
        this.tally.skipped.push(entry.path);
      }
    }
  }

  async #file(from: string, to: string, mode: number | undefined): Promise<void> {
    const source = await this.files.readStream(from, { user: this.user });
    // A link that lies in the way must not be written through.
    const isLink = await lstat(to)
      .then((stats) => stats.isSymbolicLink())
      .catch(() => false);
    if (isLink) await rm(to);
    const permissions = mode === undefined ? {} : { mode: mode & 0o777 };
    try {
      await pipeline(this.#counted(source), createWriteStream(to, permissions));
    } catch (cause) {
      throw localError(cause, to);
    }
    this.tally.files += 1;
  }

  #counted(source: ReadableStream<Uint8Array>): AsyncIterable<Uint8Array> {
    return count(Readable.fromWeb(source as WebStream<Uint8Array>), (bytes) => {
      this.tally.bytes += bytes;
    });
  }
}

/** The entries of a directory with the first one looked at, or undefined when the path is no directory. */
async function listOrUndefined(
  files: Files,
  path: string,
  user: string | undefined,
): Promise<AsyncIterable<FileEntry> | undefined> {
  const entries = files.list(path, { user });
  try {
    const first = await entries.next();
    return prepend(first, entries);
  } catch (thrown) {
    // A file is refused as a bad request; what is not there at all is told by the copy itself.
    if (thrown instanceof ApiError && (thrown.status === 404 || thrown.status === 400)) return undefined;
    throw thrown;
  }
}

async function* prepend(
  first: IteratorResult<FileEntry, void>,
  rest: AsyncGenerator<FileEntry, void>,
): AsyncGenerator<FileEntry, void> {
  if (first.done) return;
  yield first.value;
  yield* rest;
}

async function* count(
  source: AsyncIterable<Uint8Array>,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Uint8Array, void> {
  for await (const piece of source) {
    onBytes(piece.length);
    yield piece;
  }
}

/** A name that a sandbox gave, made sure to stay inside its directory here. */
export function safeName(name: string): string {
  if (name !== '' && name !== '.' && name !== '..' && !name.includes('/') && !name.includes('\0'))
    return name;
  throw new DormouseError(
    'guest_protocol',
    `the sandbox lists a file of the impossible name ${JSON.stringify(name)}`,
  );
}

async function statLocal(path: string): Promise<Awaited<ReturnType<typeof stat>>> {
  try {
    return await stat(path);
  } catch (cause) {
    throw localError(cause, path);
  }
}

async function leadsToFile(path: string): Promise<boolean> {
  return stat(path)
    .then((stats) => stats.isFile())
    .catch(() => false);
}

async function isLocalDirectory(path: string): Promise<boolean> {
  return stat(path)
    .then((stats) => stats.isDirectory())
    .catch(() => false);
}

async function makeLocalDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (cause) {
    throw localError(cause, path);
  }
}

function localError(cause: unknown, path: string): unknown {
  switch (systemErrorCode(cause)) {
    case 'ENOENT':
      return new DormouseError('not_found', `${path} does not exist here`, { cause });
    case 'EACCES':
    case 'EPERM':
      return new DormouseError('not_permitted', `no permission for ${path}`, { cause });
    case 'EISDIR':
    case 'ENOTDIR':
    case 'EEXIST':
      return new DormouseError('invalid_request', `${path} is in the way`, { cause });
    case 'ENOSPC':
      return new DormouseError('no_space', `no space left for ${path}`, { cause });
    default:
      return cause;
  }
}
