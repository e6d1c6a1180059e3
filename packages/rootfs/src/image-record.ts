import { createHash } from 'node:crypto';
import { open, readFile, stat } from 'node:fs/promises';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import { z } from 'zod';
import { replaceFile } from './commit.js';
import { imagePath } from './template.js';

const READ_BYTES = 1024 * 1024;
const ZEROS = Buffer.alloc(READ_BYTES);

/** What is known of an image's file, beside it. */
const recordSchema = z.object({
  version: z.literal(1),
  bytes: z.int(),
  /** SHA-256 over every MiB that is not all zeros, each behind its offset as a 64-bit little-endian number. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** Device, inode, size and time of the last write when the file was found to be so. */
  identity: z.string(),
});

type ImageRecord = z.infer<typeof recordSchema>;

/** Writes down what an image's file holds, so that a change to it is found. @param path of the image's file */
export async function recordImage(path: string): Promise<void> {
  const identity = await identityOf(path);
  const { bytes, sha256 } = await digestOf(path);
  await writeRecord(path, { version: 1, bytes, sha256, identity });
}

/** Whether an image has been recorded; those of earlier versions have not. */
export async function isRecorded(assetsDir: string, imageId: string): Promise<boolean> {
  return (await readRecord(imagePath(assetsDir, imageId))) !== undefined;
}

/**
 * Requires that an image is what its build has made. Hashes it only when its file was written to, or moved, since it
 * was found right; that takes seconds. An image without a record passes.
 *
 * @throws DormouseError `snapshot_corrupt`: it has changed. The system error of a file that is missing or cannot be read
 */
export async function verifyImage(assetsDir: string, imageId: string): Promise<void> {
  const path = imagePath(assetsDir, imageId);
  const identity = await identityOf(path);
  const record = await readRecord(path);
  if (record === undefined || record.identity === identity) return;
  const { bytes, sha256 } = await digestOf(path);
  if (bytes !== record.bytes || sha256 !== record.sha256) {
    throw new DormouseError('snapshot_corrupt', `image ${imageId} is not what was built`, {
      suggestion:
        'Build its template again; sandboxes that lie on this image need the file restored from a backup.',
    });
  }
  // Only time is lost when this cannot be written: the image is hashed again the next time.
  await writeRecord(path, { ...record, identity }).catch(() => {});
}

async function readRecord(path: string): Promise<ImageRecord | undefined> {
  try {
    return recordSchema.parse(JSON.parse(await readFile(recordPath(path), 'utf8')));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function writeRecord(path: string, record: ImageRecord): Promise<void> {
  await replaceFile(recordPath(path), JSON.stringify(record));
}

function recordPath(path: string): string {
  return `${path}.json`;
}

async function identityOf(path: string): Promise<string> {
  const { dev, ino, size, mtimeNs } = await stat(path, { bigint: true });
  return [dev, ino, size, mtimeNs].join(':');
}

async function digestOf(path: string): Promise<Pick<ImageRecord, 'bytes' | 'sha256'>> {
  const hash = createHash('sha256');
  const offset = Buffer.alloc(8);
  const block = Buffer.allocUnsafe(READ_BYTES);
  await using file = await open(path, 'r');
  for (let at = 0; ; ) {
    const { bytesRead } = await file.read(block, 0, READ_BYTES, at);
    if (bytesRead === 0) return { bytes: at, sha256: hash.digest('hex') };
    const content = block.subarray(0, bytesRead);
    if (!content.equals(ZEROS.subarray(0, bytesRead))) {
      offset.writeBigUInt64LE(BigInt(at));
      hash.update(offset).update(content);
    }
    at += bytesRead;
  }
}
