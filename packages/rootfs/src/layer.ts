import { chmod, constants, copyFile, open, stat } from 'node:fs/promises';
import { DormouseError, fromUnknown, systemErrorCode } from '@dormouse/errors';
import { decodeDiskSize, encodeEmptyOverlay, QCOW2_HEADER_BYTES } from './qcow2-overlay.js';
import { run } from './run.js';

/** Copies gigabytes at worst. */
const FLATTEN_TIMEOUT_MS = 30 * 60_000;

/** What a new layer lies on. */
export interface LayerBacking {
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
  /** Size of the disk, for a backing that a VM still writes to: it is locked then, and not looked at. */
  readonly sizeBytes?: number;
}

/**
 * Makes a writable layer of a disk: a qcow2 file that holds only what differs from what it lies on.
 *
 * @param owner who may write to it, besides root
 * @throws DormouseError `setup_failed` when what it is to lie on cannot be read
 */
export async function createLayer(
  layerPath: string,
  backing: LayerBacking,
  owner?: { readonly uid: number; readonly gid: number },
): Promise<void> {
  const { path, format } = backing;
  const sizeBytes = backing.sizeBytes ?? (await diskSize(path, format));
  const { parts, lengthBytes } = encodeEmptyOverlay({ backingPath: path, backingFormat: format, sizeBytes });
  const file = await open(layerPath, 'wx', 0o600);
  try {
    for (const { offset, bytes } of parts) await file.write(bytes, 0, bytes.length, offset);
    await file.truncate(lengthBytes);
    if (owner !== undefined) await file.chown(owner.uid, owner.gid);
  } finally {
    await file.close();
  }
}

async function diskSize(path: string, format: LayerBacking['format']): Promise<number> {
  try {
    return await readDiskSize(path, format);
  } catch (cause) {
    if (systemErrorCode(cause) === undefined) throw cause;
    throw new DormouseError('setup_failed', `nothing can lie on ${path}: ${fromUnknown(cause).message}`, {
      cause,
    });
  }
}

async function readDiskSize(path: string, format: LayerBacking['format']): Promise<number> {
  if (format === 'raw') return (await stat(path)).size;
  const file = await open(path, 'r');
  try {
    const header = Buffer.alloc(QCOW2_HEADER_BYTES);
    await file.read(header, 0, header.length, 0);
    return decodeDiskSize(header);
  } finally {
    await file.close();
  }
}

/**
 * Copies a layer with everything between it and `backing` into one layer that lies on `backing`.
 *
 * By `rebase`, which copies whatever the layers in between hold: `convert` with a backing file takes the content of the
 * topmost layer only, because it assumes that the new backing reads like the old one.
 *
 * @param backing what both lie on in the end
 * @throws DormouseError `setup_failed`; `cancelled` by the signal. The unfinished file is the caller's to remove
 */
export async function flattenLayer(
  layerPath: string,
  flatPath: string,
  backing: Omit<LayerBacking, 'sizeBytes'>,
  signal?: AbortSignal,
): Promise<void> {
  await copyFile(layerPath, flatPath, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  await chmod(flatPath, 0o600);
  const command = [
    'qemu-img',
    'rebase',
    '-q',
    '-f',
    'qcow2',
    '-F',
    backing.format,
    '-b',
    backing.path,
    flatPath,
  ] as const;
  await run(command, { timeoutMs: FLATTEN_TIMEOUT_MS, ...(signal === undefined ? {} : { signal }) });
}
