import { DataChunk } from './data-chunk.js';
import { decodeEntry, type Entry, encodeRead } from './file-codec.js';
import { type FileOptions, show, wait } from './files.js';
import type { GuestLink } from './guest-link.js';
import { type GuestStream, messageCost } from './guest-stream.js';
import { InboundQueue } from './inbound-queue.js';
import { MESSAGE, OPERATION } from './protocol.js';
import { drained, QUICK_TIMEOUT_MS } from './requests.js';
import { violation } from './violation.js';
import type { GuestPath } from './wire-writer.js';

/** Which part of a file to read. `signal` bounds all of it, `timeoutMs` (default 30 s) the wait for the entry. */
export interface ReadFileOptions extends FileOptions {
  /** First byte, default 0. */
  readonly offset?: bigint | number;
  /** Default: to the end. */
  readonly length?: bigint | number;
}

/** A file being read. */
export interface FileContent {
  readonly entry: Entry;
  /** The bytes, once. Breaking off stops the reading; so does the signal, which throws. */
  readonly data: AsyncGenerator<Uint8Array, void, undefined>;
}

/** Opens a file and reads as fast as the consumer takes it. */
export async function readFile(
  link: GuestLink,
  path: GuestPath,
  options: ReadFileOptions,
): Promise<FileContent> {
  const length = options.length === undefined ? undefined : BigInt(options.length);
  const args = encodeRead(options.user ?? '', path, BigInt(options.offset ?? 0), length);
  const what = `read ${show(path)}`;
  return new Promise((resolve, reject) => {
    let opened = false;
    const queue = new InboundQueue<DataChunk>({
      taken: (cost) => stream.consumed(cost),
      merge: (last, next) => last.append(next),
    });
    const stream: GuestStream = link.open(
      {
        what,
        operation: OPERATION.fileRead,
        args,
        windowBytes: link.bulkWindowBytes,
        timeoutMs: QUICK_TIMEOUT_MS,
        ...wait(options),
      },
      {
        message: (message) => {
          if (message.kind !== MESSAGE.entry || opened)
            throw violation(`MESSAGE ${message.kind} from a file`);
          const entry = decodeEntry(message.body);
          opened = true;
          stream.endTimeout();
          stream.consumed(messageCost(message));
          resolve({ entry, data: contentOf(queue, stream, what) });
        },
        data: (channel, bytes) => {
          if (!opened || channel !== 0) throw violation('DATA of a file that is not open');
          queue.push(new DataChunk(channel, bytes), bytes.length);
        },
        closed: (error) => {
          const missing = violation(`no answer to ${what}`);
          queue.finish(error);
          reject(error ?? missing);
          if (error === undefined && !opened) throw missing;
        },
      },
    );
  });
}

async function* contentOf(
  queue: InboundQueue<DataChunk>,
  stream: GuestStream,
  what: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of drained(queue, stream, what)) yield chunk.data;
}
