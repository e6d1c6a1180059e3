import {
  DirectoryListing,
  MakeDirectoryResult,
  type FileEntry as WireFileEntry,
  WriteFileResult,
} from '@dormouse/contracts';
import { type CamelKeys, toCamelKeys } from './case.js';
import type { CallOptions } from './client-options.js';
import { eachItem } from './paging.js';
import type { Query, Transport } from './transport.js';

/** A file, directory or link of a sandbox. */
export type FileEntry = CamelKeys<WireFileEntry>;

/** What can be written to a file; streams are sent as they come. */
export type FileContent = string | Uint8Array | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>;

export interface FileOptions extends CallOptions {
  /** Whose rights and home directory count; the template decides the default. */
  readonly user?: string | undefined;
}

export interface ReadOptions extends FileOptions {
  /** First byte; default 0. */
  readonly offset?: number | undefined;
  /** Most bytes; default: to the end. */
  readonly length?: number | undefined;
}

export interface WriteOptions extends FileOptions {
  /** Permission bits of a new file, octal; default `0644`. */
  readonly mode?: string | undefined;
}

export interface ListOptions extends FileOptions {
  /** Levels to list; default 1. */
  readonly depth?: number | undefined;
}

export interface MakeDirectoryOptions extends FileOptions {
  /** Permission bits, octal; default `0755`. */
  readonly mode?: string | undefined;
  /** Make missing parents, and be content when it exists already; default true. */
  readonly parents?: boolean | undefined;
}

export interface RemoveOptions extends FileOptions {
  /** Remove a directory and what is in it. */
  readonly recursive?: boolean | undefined;
}

/** The files of one sandbox. Paths are absolute, or relative to the user's home. */
export class Files {
  readonly #transport: Transport;
  readonly #base: string;

  /** @param base `/v1/sandboxes/<id>` */
  constructor(transport: Transport, base: string) {
    this.#transport = transport;
    this.#base = base;
  }

  async read(path: string, options: ReadOptions = {}): Promise<Uint8Array> {
    return this.#transport.bytes({ timeoutMs: 0, ...this.#readRequest(path, options) });
  }

  /** The file as UTF-8 text. */
  async readText(path: string, options: ReadOptions = {}): Promise<string> {
    return new TextDecoder().decode(await this.read(path, options));
  }

  /** The file as it comes: constant memory, whatever its size. */
  async readStream(path: string, options: ReadOptions = {}): Promise<ReadableStream<Uint8Array>> {
    return this.#transport.stream(this.#readRequest(path, options));
  }

  /** Writes a whole file, making it when it is not there. No time limit unless `timeoutMs` is given. */
  async write(path: string, content: FileContent, options: WriteOptions = {}): Promise<FileEntry> {
    const { user, mode, ...call } = options;
    const request = {
      timeoutMs: 0,
      ...call,
      method: 'PUT',
      path: `${this.#base}/files`,
      query: { path, user, mode },
      body: bodyOf(content),
      headers: { 'content-type': 'application/octet-stream' },
    } as const;
    return toCamelKeys((await this.#transport.json(request, WriteFileResult)).entry);
  }

  /** The entries below a directory, page by page. */
  list(path: string, options: ListOptions = {}): AsyncGenerator<FileEntry, void, undefined> {
    const { user, depth, ...call } = options;
    return eachItem(async (cursor) => {
      const query: Query = { path, user, depth, cursor };
      const request = { ...call, method: 'GET', path: `${this.#base}/dir`, query } as const;
      const page = await this.#transport.json(request, DirectoryListing);
      return { items: page.entries.map(toCamelKeys), nextCursor: page.next_cursor };
    });
  }

  async makeDirectory(path: string, options: MakeDirectoryOptions = {}): Promise<FileEntry> {
    const { user, mode, parents, ...call } = options;
    const json = { path, user, mode, parents };
    const request = { ...call, method: 'POST', path: `${this.#base}/dir`, json } as const;
    return toCamelKeys((await this.#transport.json(request, MakeDirectoryResult)).entry);
  }

  async remove(path: string, options: RemoveOptions = {}): Promise<void> {
    const { user, recursive, ...call } = options;
    const query: Query = { path, user, recursive };
    await this.#transport.send({ ...call, method: 'DELETE', path: `${this.#base}/files`, query });
  }

  #readRequest(path: string, { user, offset, length, ...call }: ReadOptions) {
    return {
      ...call,
      method: 'GET' as const,
      path: `${this.#base}/files`,
      query: { path, user },
      headers: rangeHeader(offset, length),
    };
  }
}

/** RFC 9110, 14.1.2: first and last byte, both included. */
function rangeHeader(offset: number | undefined, length: number | undefined): Record<string, string> {
  if (offset === undefined && length === undefined) return {};
  const first = offset ?? 0;
  const last = length === undefined ? '' : first + length - 1;
  return { range: `bytes=${first}-${last}` };
}

function bodyOf(content: FileContent): Uint8Array | ReadableStream<Uint8Array> {
  if (typeof content === 'string') return new TextEncoder().encode(content);
  if (content instanceof Uint8Array || content instanceof ReadableStream) return content;
  return streamOf(content);
}

/** `ReadableStream.from`, which Node.js 20.6 brought, has no type in its declarations for 20. */
function streamOf(pieces: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = pieces[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const piece = await iterator.next();
        if (piece.done) controller.close();
        else controller.enqueue(piece.value);
      },
      cancel: async () => {
        await iterator.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}
