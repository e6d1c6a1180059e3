import { DormouseError } from '@dormouse/errors';
import { type FileEntry, FileType, type HostClient } from '@dormouse/host-api';
import { expected, HOST_CALL_TIMEOUT_MS, hostCall, hostStream } from '../host-call.js';
import { parseRange } from './range.js';

/** Which file, for whom, and how much of it. */
export interface DownloadRequest {
  readonly sandboxId: string;
  readonly path: string;
  readonly user: string;
  readonly range: string | undefined;
  /** Only the head is wanted. */
  readonly headOnly: boolean;
  /** Fires when the client goes away. */
  readonly signal: AbortSignal;
  /** Ends the connection when the answer cannot be completed: its head is already on the way. */
  readonly breakOff: () => void;
}

/**
 * Answers a file's bytes as they come from the guest: never more than a chunk of them is held here.
 *
 * @throws DormouseError `range_not_satisfiable`, or what the host says, before the first byte is sent
 */
export async function download(host: HostClient['host'], request: DownloadRequest): Promise<Response> {
  const { sandboxId, path, user } = request;
  if (request.headOnly || request.range !== undefined) {
    const { entry } = await hostCall(
      host.statFile({ sandboxId, path, user }, { timeoutMs: HOST_CALL_TIMEOUT_MS }),
    );
    const file = expected(entry, 'the file');
    refuseDirectory(file);
    if (request.headOnly) return new Response(null, { headers: fileHeaders(file) });
    // What has no size of its own (a symlink, something in /proc) is answered whole.
    if (sizeIsKnown(file)) return partial(host, request, file);
  }
  return whole(host, request);
}

async function partial(
  host: HostClient['host'],
  request: DownloadRequest,
  file: FileEntry,
): Promise<Response> {
  const size = Number(file.size);
  const range = parseRange(request.range, size);
  if (range === undefined) return whole(host, request);
  const length = range.end - range.start + 1;
  const { body } = await open(host, request, { offset: BigInt(range.start), length: BigInt(length) }, length);
  return new Response(body, {
    status: 206,
    headers: {
      ...fileHeaders(file),
      'Content-Length': String(length),
      'Content-Range': `bytes ${range.start}-${range.end}/${size}`,
    },
  });
}

async function whole(host: HostClient['host'], request: DownloadRequest): Promise<Response> {
  const { entry, body } = await open(host, request, { offset: 0n }, undefined);
  return new Response(body, { headers: fileHeaders(entry) });
}

function sizeIsKnown(file: FileEntry): boolean {
  return file.type === FileType.FILE && file.size > 0n;
}

function refuseDirectory(file: FileEntry): void {
  if (file.type === FileType.DIRECTORY || file.targetType === FileType.DIRECTORY) {
    throw new DormouseError('invalid_request', `${file.path} is a directory`, {
      suggestion: 'GET …/dir lists it.',
    });
  }
}

function fileHeaders(file: FileEntry): Record<string, string> {
  return {
    'Content-Type': 'application/octet-stream',
    // What a guest wrote must never run as a page of this origin.
    'X-Content-Type-Options': 'nosniff',
    'Content-Security-Policy': "sandbox; default-src 'none'",
    'Accept-Ranges': 'bytes',
    'Last-Modified': new Date(Number(file.modifiedAtMs)).toUTCString(),
    ...(sizeIsKnown(file) ? { 'Content-Length': String(file.size) } : {}),
  };
}

/**
 * Begins to read. The first message is awaited, so that errors still become a proper answer.
 *
 * @param promised bytes the answer's head announces; undefined: the size of the file, where it is known
 */
async function open(
  host: HostClient['host'],
  { sandboxId, path, user, signal, breakOff }: DownloadRequest,
  part: { readonly offset: bigint; readonly length?: bigint },
  promised: number | undefined,
): Promise<{ entry: FileEntry; body: ReadableStream<Uint8Array> }> {
  const cancelled = new AbortController();
  const call = hostStream(
    host.readFile(
      { sandboxId, path, user, ...part },
      { signal: AbortSignal.any([signal, cancelled.signal]) },
    ),
  );
  const first = await call.next();
  const message = first.done ? undefined : first.value.message;
  if (message?.case !== 'entry') {
    cancelled.abort();
    throw new DormouseError('internal', 'the host agent answered without the file');
  }
  const entry = message.value;
  const length = promised ?? (sizeIsKnown(entry) ? Number(entry.size) : undefined);
  return { entry, body: byteStream(exactly(call, length), breakOff, () => cancelled.abort()) };
}

type Answers = AsyncGenerator<{ message: { case?: string | undefined; value?: unknown } }, void, void>;

/**
 * The data of a read call. A file that grows meanwhile is cut where its announced length ends; one that shrinks
 * is an error, as a short answer would pass for the whole.
 */
async function* exactly(call: Answers, length: number | undefined): AsyncGenerator<Uint8Array, void, void> {
  let left = length;
  for await (const { message } of call) {
    if (message.case !== 'data' || !(message.value instanceof Uint8Array)) continue;
    const kept = left === undefined ? message.value : message.value.subarray(0, left);
    if (left !== undefined) left -= kept.length;
    if (kept.length > 0) yield kept;
    if (left === 0) return;
  }
  if (left !== undefined && left > 0) {
    throw new DormouseError('unavailable', 'the file became shorter while it was read');
  }
}

/** Bytes as a web stream that reads nothing ahead: the guest is asked when the client has taken what there was. */
function byteStream(
  bytes: AsyncGenerator<Uint8Array, void, void>,
  breakOff: () => void,
  cancel: () => void,
): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await bytes.next();
          if (!done) controller.enqueue(value);
          else {
            controller.close();
            cancel();
          }
        } catch (error) {
          breakOff();
          throw error;
        }
      },
      cancel,
    },
    { highWaterMark: 0 },
  );
}
