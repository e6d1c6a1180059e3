import { DormouseError, fromUnknown } from '@dormouse/errors';
import { decodeEntry, type Entry, encodeWrite } from './file-codec.js';
import { type FileOptions, show, wait } from './files.js';
import type { GuestLink } from './guest-link.js';
import type { GuestStream } from './guest-stream.js';
import { MESSAGE, OPERATION } from './protocol.js';
import { OneAnswer } from './requests.js';
import type { GuestPath } from './wire-writer.js';

/** How to write. `signal` and `timeoutMs` (default: none) bound all of it, the source's time included. */
export interface WriteFileOptions extends FileOptions {
  /** Permission bits of a file that is made anew, default 0644. */
  readonly mode?: number;
  /** Make missing parents, 0755. Default false. */
  readonly parents?: boolean;
  /** Write behind what is there. Default false: replace it. */
  readonly append?: boolean;
  /** Write from this byte on and leave the rest of the file as it is. */
  readonly offset?: bigint | number;
}

/** Bytes to write. A source's chunks may be used again as soon as it is asked for the next one. */
export type FileSource = Uint8Array | AsyncIterable<Uint8Array>;

/** Writes a file as the bytes come. What was written before a failure stays. */
export async function writeFile(
  link: GuestLink,
  path: GuestPath,
  source: FileSource,
  options: WriteFileOptions,
): Promise<Entry> {
  const { parents = false, append = false, mode = 0 } = options;
  const offset = options.offset === undefined ? undefined : BigInt(options.offset);
  const args = encodeWrite(options.user ?? '', path, { parents, append, mode, offset });
  const what = `write ${show(path)}`;
  return new Promise((resolve, reject) => {
    const closed = new AbortController();
    const one = new OneAnswer(what, { kind: MESSAGE.entry, decode: decodeEntry }, resolve, reject);
    const stream = link.open(
      { what, operation: OPERATION.fileWrite, args, windowBytes: link.windowBytes, ...wait(options) },
      {
        message: ({ kind, body }) => one.take(kind, body),
        closed: (error) => {
          closed.abort();
          one.close(error);
        },
      },
    );
    // Its failure reaches the stream, which rejects this promise.
    send(stream, source, closed.signal).catch((error: unknown) => stream.cancel(fromUnknown(error)));
  });
}

async function send(stream: GuestStream, source: FileSource, closed: AbortSignal): Promise<void> {
  if (source instanceof Uint8Array) {
    await stream.write(source);
  } else {
    const chunks = source[Symbol.asyncIterator]();
    try {
      for (
        let next = await nextOf(chunks, closed);
        next?.done === false;
        next = await nextOf(chunks, closed)
      ) {
        if (!(next.value instanceof Uint8Array)) {
          throw new DormouseError('invalid_request', 'file contents must be bytes');
        }
        await stream.write(next.value);
      }
    } finally {
      // Not awaited: a source that hangs must not keep the failure from the caller.
      if (chunks.return !== undefined) Promise.resolve(chunks.return()).catch(fromUnknown);
    }
  }
  stream.end();
}

/** The source's next chunk, or undefined when the stream closes first. */
function nextOf(
  chunks: AsyncIterator<Uint8Array>,
  closed: AbortSignal,
): Promise<IteratorResult<Uint8Array> | undefined> {
  return new Promise((resolve, reject) => {
    const stop = (): void => resolve(undefined);
    if (closed.aborted) return stop();
    closed.addEventListener('abort', stop, { once: true });
    chunks.next().then(
      (next) => {
        closed.removeEventListener('abort', stop);
        resolve(next);
      },
      (error: unknown) => {
        closed.removeEventListener('abort', stop);
        reject(error);
      },
    );
  });
}
