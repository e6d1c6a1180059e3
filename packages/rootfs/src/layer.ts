import { chmod, chown } from 'node:fs/promises';
import { run } from './run.js';

const QEMU_IMG_TIMEOUT_MS = 60_000;
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
 */
export async function createLayer(
  layerPath: string,
  backing: LayerBacking,
  owner?: { readonly uid: number; readonly gid: number },
): Promise<void> {
  const unseen = backing.sizeBytes === undefined ? [] : ['-u'];
  const size = backing.sizeBytes === undefined ? [] : [String(backing.sizeBytes)];
  await run(
    [
      'qemu-img',
      ...['create', '-q', '-f', 'qcow2', '-F', backing.format, '-b', backing.path],
      ...unseen,
      layerPath,
      ...size,
    ],
    { timeoutMs: QEMU_IMG_TIMEOUT_MS },
  );
  await chmod(layerPath, 0o600);
  if (owner !== undefined) await chown(layerPath, owner.uid, owner.gid);
}

/**
 * Copies a layer with everything between it and `backing` into one layer that lies on `backing`.
 *
 * @param backing what both lie on in the end
 */
export async function flattenLayer(
  layerPath: string,
  flatPath: string,
  backing: Omit<LayerBacking, 'sizeBytes'>,
): Promise<void> {
  await run(
    [
      'qemu-img',
      ...['convert', '-q', '-f', 'qcow2', '-O', 'qcow2', '-F', backing.format, '-B', backing.path],
      layerPath,
      flatPath,
    ],
    { timeoutMs: FLATTEN_TIMEOUT_MS },
  );
}
