import { stat } from 'node:fs/promises';
import { systemErrorCode } from '@dormouse/errors';
import { corrupt, subjectOf } from '../errors.js';
import type { DiskBacking } from './manifest.js';
import { artifactPath, type GenerationPlace } from './read-generation.js';

/** How disk layers name what they lie on. The store itself knows no disk format. */
export interface DiskFormat {
  /**
   * The path of the backing file that a layer's header names; undefined where it names none.
   *
   * @throws DormouseError `snapshot_corrupt` when the file is no layer
   */
  backingPathOf(layerPath: string): Promise<string | undefined>;
  /** Whether a path is that of an image's file. */
  isImage(path: string, imageId: string): boolean;
  /** Requires that an image is as it was built. @throws DormouseError `snapshot_corrupt` */
  verifyImage(imageId: string): Promise<void>;
  /**
   * Gives a generation's layer back a name that is missing and that a header needs. False when this name is not one
   * that the host hands out.
   */
  restoreName(path: string, layerPath: string): Promise<boolean>;
}

/**
 * Requires that the header of a layer names the file that the manifest names: VMMs follow headers, the store follows
 * manifests, and a restore needs both to lead to the same disk.
 *
 * @param layerPath the layer, of a generation or of a draft
 * @param id the generation it belongs to
 * @throws DormouseError `snapshot_corrupt`
 */
export async function requireBacking(
  format: DiskFormat,
  place: GenerationPlace,
  id: string,
  layerPath: string,
  backing: DiskBacking | null,
): Promise<void> {
  const subject = subjectOf('disk.qcow2', id);
  const named = await format.backingPathOf(layerPath);
  if (backing === null) {
    if (named !== undefined) throw corrupt(subject, `lies on ${named}, which its manifest does not name`);
    return;
  }
  if (named === undefined) throw corrupt(subject, `names no backing file, but lies on ${backing.id}`);
  if (backing.kind === 'image') {
    if (!format.isImage(named, backing.id)) {
      throw corrupt(subject, `lies on ${named}, which is not image ${backing.id}`);
    }
    if ((await inodeOf(named)) === undefined) throw corrupt(subject, `lies on ${named}, which is missing`);
    await format.verifyImage(backing.id);
    return;
  }
  const expectedPath = artifactPath(place, backing.id, 'disk.qcow2');
  const expected = await inodeOf(expectedPath);
  if (expected === undefined) {
    throw corrupt(subjectOf('disk.qcow2', backing.id), `is missing, which the disk of ${id} needs`);
  }
  let found = await inodeOf(named);
  if (found === undefined && (await format.restoreName(named, expectedPath))) found = await inodeOf(named);
  if (found === expected) return;
  const problem = found === undefined ? 'is missing' : `is not the disk of generation ${backing.id}`;
  throw corrupt(subject, `lies on ${named}, which ${problem}`);
}

/** Device and inode of a file; undefined when there is none. */
async function inodeOf(path: string): Promise<string | undefined> {
  try {
    const { dev, ino } = await stat(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
