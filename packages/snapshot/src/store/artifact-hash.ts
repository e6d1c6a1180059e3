import { createHash } from 'node:crypto';
import { open, readFile, stat } from 'node:fs/promises';
import { systemErrorCode } from '@dormouse/errors';
import { corrupt, subjectOf } from '../errors.js';
import { PackedPages } from '../packed-pages/packed-pages-reader.js';
import { decodePageMap, sealOfMap } from '../page-map/page-map-codec.js';
import type { ArtifactName, ArtifactRecord } from './manifest.js';

const READ_BYTES = 1024 * 1024;

/**
 * What an artifact is now, in the terms of a manifest. Of `memory.pages` only the footer is read: its frames are
 * verified when they are used.
 */
export async function recordOf(
  name: ArtifactName,
  path: string,
  generationId: string,
): Promise<ArtifactRecord> {
  const subject = subjectOf(name, generationId);
  try {
    const { size } = await stat(path);
    if (name === 'memory.pages') return { bytes: size, sha256: sealOfPages(path, generationId, subject) };
    if (name === 'memory.map') {
      const bytes = await readFile(path);
      decodePageMap(bytes, subject);
      return { bytes: size, sha256: sealOfMap(bytes) };
    }
    return { bytes: size, sha256: await hashFile(path) };
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') throw corrupt(subject, 'is missing', error);
    throw error;
  }
}

function sealOfPages(path: string, generationId: string, subject: string): string {
  using pages = PackedPages.open(path, subject);
  const { footer } = pages;
  if (footer.generationId !== generationId)
    throw corrupt(subject, `belongs to generation ${footer.generationId}`);
  return footer.seal;
}

/** Holds an artifact to what a manifest says of it. */
export function compareRecord(
  name: ArtifactName,
  generationId: string,
  recorded: ArtifactRecord | undefined,
  present: ArtifactRecord,
): void {
  const subject = subjectOf(name, generationId);
  if (recorded === undefined) throw corrupt(subject, 'is not in the manifest');
  if (present.bytes !== recorded.bytes) {
    throw corrupt(subject, `has ${present.bytes} bytes instead of ${recorded.bytes}`);
  }
  if (present.sha256 !== recorded.sha256) throw corrupt(subject, 'does not match its checksum');
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  await using file = await open(path, 'r');
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, READ_BYTES, null);
    if (bytesRead === 0) return hash.digest('hex');
    hash.update(buffer.subarray(0, bytesRead));
  }
}
