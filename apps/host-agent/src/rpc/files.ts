import { create } from '@bufbuild/protobuf';
import { DormouseError } from '@dormouse/errors';
import {
  type ListDirectoryRequest,
  type ListDirectoryResponse,
  ListDirectoryResponseSchema,
  type ReadFileRequest,
  type ReadFileResponse,
  ReadFileResponseSchema,
  type WriteFileRequest,
} from '@dormouse/host-api';
import type { Entry, SandboxHost } from '@dormouse/sandbox';
import { entryMessage } from './messages.js';

/** Entries a message of a listing; a large directory arrives in pieces. */
const ENTRIES_PER_MESSAGE = 256;

/** Streams a file: its entry, then its bytes, as fast as the caller takes them. */
export async function* readFile(
  host: SandboxHost,
  request: ReadFileRequest,
  signal: AbortSignal,
): AsyncGenerator<ReadFileResponse> {
  using use = await host.get(request.sandboxId).use();
  const { entry, data } = await use.guest.readFile(request.path, {
    ...userOption(request.user),
    offset: request.offset,
    ...(request.length === undefined ? {} : { length: request.length }),
    signal,
  });
  yield create(ReadFileResponseSchema, { message: { case: 'entry', value: entryMessage(entry) } });
  for await (const chunk of data) {
    yield create(ReadFileResponseSchema, { message: { case: 'data', value: chunk } });
  }
}

/** Writes what the caller streams, as fast as the guest takes it. */
export async function writeFile(
  host: SandboxHost,
  requests: AsyncIterable<WriteFileRequest>,
  signal: AbortSignal,
): Promise<Entry> {
  const input = requests[Symbol.asyncIterator]();
  const first = (await input.next()).value?.message;
  if (first?.case !== 'start')
    throw new DormouseError('invalid_request', 'the first message of a write is start');
  const { sandboxId, path, user, mode, append } = first.value;
  using use = await host.get(sandboxId).use();
  const source = async function* (): AsyncGenerator<Uint8Array> {
    for (let next = await input.next(); next.done !== true; next = await input.next()) {
      if (next.value.message.case !== 'data')
        throw new DormouseError('invalid_request', 'only data follows start');
      yield next.value.message.value;
    }
  };
  return await use.guest.writeFile(path, source(), {
    ...userOption(user),
    ...(mode === 0 ? {} : { mode }),
    append,
    parents: true,
    signal,
  });
}

/** Lists a directory in pieces. */
export async function* listDirectory(
  host: SandboxHost,
  request: ListDirectoryRequest,
  signal: AbortSignal,
): AsyncGenerator<ListDirectoryResponse> {
  using use = await host.get(request.sandboxId).use();
  const depth = request.depth === 0 ? 1 : request.depth;
  let entries = [];
  for await (const entry of use.guest.list(request.path, { ...userOption(request.user), depth, signal })) {
    entries.push(entryMessage(entry));
    if (entries.length < ENTRIES_PER_MESSAGE) continue;
    yield create(ListDirectoryResponseSchema, { entries });
    entries = [];
  }
  if (entries.length > 0) yield create(ListDirectoryResponseSchema, { entries });
}

/** The guest's default user where the caller names none. */
export function userOption(user: string): { readonly user?: string } {
  return user === '' ? {} : { user };
}
