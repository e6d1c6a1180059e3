import { setImmediate } from 'node:timers/promises';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import { corrupt, subjectOf } from '../errors.js';
import { PackedPages } from '../packed-pages/packed-pages-reader.js';
import { PAGE_SIZE } from '../page.js';
import { compareRecord, recordOf } from './artifact-hash.js';
import { type DiskFormat, requireBacking } from './disk-backing.js';
import type { DiskStamps } from './disk-stamp.js';
import { ARTIFACTS, type Manifest } from './manifest.js';
import { artifactPath, type GenerationPlace, openMemory, readManifest } from './read-generation.js';

/** Frames verified before others get their turn on the event loop: a few milliseconds. */
const FRAMES_A_TURN = 64;

export interface VerifyOptions {
  /** Verify every frame of memory as well, of the whole chain. Default false: frames are verified when they are used. */
  readonly deep?: boolean;
  /** Only what a boot from its disk would use. Default false. */
  readonly diskOnly?: boolean;
  readonly signal?: AbortSignal;
}

/** How the disks of generations are verified. */
export interface DiskChecks {
  readonly stamps: DiskStamps;
  /** Undefined: headers of layers are not held against manifests. */
  readonly format: DiskFormat | undefined;
}

/**
 * Verifies all that a restore of a generation would use: its artifacts, the footers of its memory's chain, and its
 * disk's chain, by manifest and by header. Disk layers are hashed when they have not been since they last changed.
 *
 * @throws DormouseError `not_found`; `snapshot_corrupt`, naming generation and artifact; `cancelled`. A system error
 *   that says nothing about the content (EIO, EMFILE) is thrown as it is: it is no verdict
 */
export async function verifyGeneration(
  place: GenerationPlace,
  disks: DiskChecks,
  id: string,
  options: VerifyOptions = {},
): Promise<Manifest> {
  const manifest = readManifest(place, id);
  if (options.diskOnly) {
    await verifyDisks(place, disks, manifest, options.signal);
    return manifest;
  }
  for (const name of ARTIFACTS) {
    const record = manifest.artifacts[name];
    if (record === undefined || name === 'disk.qcow2') continue;
    throwIfAborted(options.signal, id);
    compareRecord(name, id, record, await recordOf(name, artifactPath(place, id, name), id));
  }
  if (manifest.memory !== null) {
    using memory = openMemory(place, id);
    memory.openAll();
    if (options.deep) {
      for (const source of new Set([id, ...memory.map.sources])) {
        await verifyFrames(place, source, options.signal);
      }
    }
  }
  await verifyDisks(place, disks, manifest, options.signal);
  return manifest;
}

async function verifyFrames(place: GenerationPlace, id: string, signal?: AbortSignal): Promise<void> {
  using pages = PackedPages.open(artifactPath(place, id, 'memory.pages'), subjectOf('memory.pages', id));
  const frame = Buffer.allocUnsafe(pages.footer.framePages * PAGE_SIZE);
  for (let index = 0; index < pages.footer.lengths.length; index++) {
    if (index % FRAMES_A_TURN === 0) {
      await setImmediate();
      throwIfAborted(signal, id);
    }
    pages.readFrame(index, frame);
  }
}

async function verifyDisks(
  place: GenerationPlace,
  { stamps, format }: DiskChecks,
  first: Manifest,
  signal?: AbortSignal,
): Promise<void> {
  const seen = new Set<string>();
  for (let manifest = first; ; ) {
    const { id, diskBacking, artifacts } = manifest;
    if (seen.has(id)) throw corrupt(subjectOf('disk.qcow2', first.id), 'lies on itself');
    seen.add(id);
    throwIfAborted(signal, id);
    const path = artifactPath(place, id, 'disk.qcow2');
    const recorded = artifacts['disk.qcow2']!;
    const identity = await stamps.identity(path).catch((error: unknown) => {
      if (systemErrorCode(error) !== 'ENOENT') throw error;
      throw corrupt(subjectOf('disk.qcow2', id), 'is missing', error);
    });
    if (!(await stamps.has(id, identity, recorded.sha256))) {
      compareRecord('disk.qcow2', id, recorded, await recordOf('disk.qcow2', path, id));
      await stamps.put(id, identity, recorded.sha256);
    }
    if (format !== undefined) await requireBacking(format, place, id, path, diskBacking);
    if (diskBacking?.kind !== 'generation') return;
    manifest = backing(place, diskBacking.id, id);
  }
}

function backing(place: GenerationPlace, id: string, wantedBy: string): Manifest {
  try {
    return readManifest(place, id);
  } catch (error) {
    const missing = error instanceof DormouseError && error.code === 'not_found';
    if (missing) throw corrupt(`generation ${id}`, `is missing, which the disk of ${wantedBy} needs`, error);
    throw error;
  }
}

function throwIfAborted(signal: AbortSignal | undefined, id: string): void {
  if (!signal?.aborted) return;
  throw new DormouseError('cancelled', `verifying generation ${id} was cancelled`, { cause: signal.reason });
}
