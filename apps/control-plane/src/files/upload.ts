import type { MessageInitShape } from '@bufbuild/protobuf';
import type { FileEntry, HostClient, WriteFileRequestSchema } from '@dormouse/host-api';
import { expected, hostCall } from '../host-call.js';

/** Which file, for whom. */
export interface UploadTarget {
  readonly sandboxId: string;
  readonly path: string;
  readonly user: string;
  /** 0: the host's default. */
  readonly mode: number;
}

/**
 * Writes a file from bytes as they come: the next are asked for when the host has taken the last.
 *
 * @throws DormouseError what the host says
 */
export async function upload(
  host: HostClient['host'],
  target: UploadTarget,
  bytes: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<FileEntry> {
  // A body that breaks off must not end as a shorter file: the call is cancelled before the request ends.
  const broken = new AbortController();
  async function* requests(): AsyncGenerator<MessageInitShape<typeof WriteFileRequestSchema>> {
    yield { message: { case: 'start', value: target } };
    try {
      for await (const data of bytes) yield { message: { case: 'data', value: data } };
    } catch (error) {
      broken.abort(error);
      throw error;
    }
  }
  const either = AbortSignal.any([signal, broken.signal]);
  const { entry } = await hostCall(host.writeFile(requests(), { signal: either }), either);
  return expected(entry, 'the file');
}
