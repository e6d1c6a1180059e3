import { chmod, chown } from 'node:fs/promises';
import { run } from './run.js';

const QEMU_IMG_TIMEOUT_MS = 60_000;

/**
 * Makes the topmost, writable layer of a sandbox's disk: a qcow2 file that holds only what differs from the image.
 *
 * @param imagePath read-only raw image below it
 * @param owner who may write to it, besides root
 */
export async function createLayer(
  layerPath: string,
  imagePath: string,
  owner?: { readonly uid: number; readonly gid: number },
): Promise<void> {
  await run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', imagePath, layerPath], {
    timeoutMs: QEMU_IMG_TIMEOUT_MS,
  });
  await chmod(layerPath, 0o600);
  if (owner !== undefined) await chown(layerPath, owner.uid, owner.gid);
}
