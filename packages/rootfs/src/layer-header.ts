import { open } from 'node:fs/promises';
import { systemErrorCode } from '@dormouse/errors';
import { decodeBackingPath, hasQcow2Magic, QCOW2_HEADER_BYTES } from './qcow2-overlay.js';

/** The backing file's name lies in the first cluster, which has this size in every layer that Dormouse makes. */
const HEAD_BYTES = 65_536;

/** The state of a file that should be a disk layer. */
export type LayerHeader =
  /** A qcow2 layer. `backingPath` is undefined where its header names no backing file. */
  | { readonly kind: 'layer'; readonly backingPath: string | undefined }
  /** The file is missing, too short, or begins with zeros: its content never reached the disk. */
  | { readonly kind: 'unwritten' }
  /** The file has content, but not that of a layer. */
  | { readonly kind: 'damaged'; readonly problem: string };

/** Reads the header of a disk layer. Throws the system error when the file exists and cannot be read. */
export async function readLayerHeader(path: string): Promise<LayerHeader> {
  const head = await readHead(path);
  if (head === undefined || head.length < QCOW2_HEADER_BYTES) return { kind: 'unwritten' };
  if (head.subarray(0, QCOW2_HEADER_BYTES).every((byte) => byte === 0)) return { kind: 'unwritten' };
  if (!hasQcow2Magic(head)) return { kind: 'damaged', problem: 'it does not begin with a qcow2 header' };
  try {
    return { kind: 'layer', backingPath: decodeBackingPath(head) };
  } catch (error) {
    return { kind: 'damaged', problem: error instanceof Error ? error.message : String(error) };
  }
}

async function readHead(path: string): Promise<Buffer | undefined> {
  try {
    await using file = await open(path, 'r');
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
