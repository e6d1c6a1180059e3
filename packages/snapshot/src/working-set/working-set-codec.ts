import { createHash } from 'node:crypto';
import { corrupt } from '../errors.js';
import { GENERATION_ID_LENGTH } from '../generation-id.js';
import { MAX_PAGES } from '../page.js';

/** The one file of a generation that may be replaced: what is in it costs time when it is wrong, never content. */
export const WORKING_SET = 'working-set.bin';

/*
 * working-set.bin, all integers little-endian:
 *   0 "DMWRKSET"  8 u32 version  12 u32 count  16 generation id (28 bytes)  44 page numbers (u32)  SHA-256 of it all
 */
const MAGIC = Buffer.from('DMWRKSET', 'latin1');
const VERSION = 1;
const ID_OFFSET = 16;
const PAGES_OFFSET = ID_OFFSET + GENERATION_ID_LENGTH;
const DIGEST_BYTES = 32;

/** @param pages numbers of pages, in the order of first touch */
export function encodeWorkingSet(generationId: string, pages: readonly number[]): Buffer {
  const bytes = Buffer.alloc(PAGES_OFFSET + pages.length * 4 + DIGEST_BYTES);
  MAGIC.copy(bytes);
  bytes.writeUInt32LE(VERSION, 8);
  bytes.writeUInt32LE(pages.length, 12);
  bytes.write(generationId, ID_OFFSET, GENERATION_ID_LENGTH, 'latin1');
  let offset = PAGES_OFFSET;
  for (const page of pages) offset = bytes.writeUInt32LE(page, offset);
  createHash('sha256').update(bytes.subarray(0, offset)).digest().copy(bytes, offset);
  return bytes;
}

/**
 * @param pageCount of the guest; every page must be below it, and in the set once
 * @throws DormouseError `snapshot_corrupt`
 */
export function decodeWorkingSet(
  bytes: Buffer,
  generationId: string,
  pageCount: number,
  subject: string,
): readonly number[] {
  if (bytes.length < PAGES_OFFSET + DIGEST_BYTES) throw corrupt(subject, 'is truncated');
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw corrupt(subject, 'is not a working set');
  const version = bytes.readUInt32LE(8);
  if (version !== VERSION) throw corrupt(subject, `has version ${version}, not ${VERSION}`);
  const count = bytes.readUInt32LE(12);
  const end = bytes.length - DIGEST_BYTES;
  if (count > MAX_PAGES || end !== PAGES_OFFSET + count * 4) throw corrupt(subject, 'has the wrong length');
  const digest = createHash('sha256').update(bytes.subarray(0, end)).digest();
  if (!digest.equals(bytes.subarray(end))) throw corrupt(subject, 'does not match its checksum');
  const owner = bytes.toString('latin1', ID_OFFSET, PAGES_OFFSET);
  if (owner !== generationId) throw corrupt(subject, `belongs to generation ${owner}`);
  const pages = Array.from({ length: count }, (_, index) => bytes.readUInt32LE(PAGES_OFFSET + index * 4));
  const fault = faultOfPages(pages, pageCount);
  if (fault !== undefined) throw corrupt(subject, fault);
  return pages;
}

/** What is wrong with a list of pages, as the rest of a sentence. */
export function faultOfPages(pages: readonly number[], pageCount: number): string | undefined {
  const seen = new Set<number>();
  for (const page of pages) {
    if (!Number.isInteger(page) || page < 0 || page >= pageCount) {
      return `names page ${page} of a guest of ${pageCount} pages`;
    }
    if (seen.has(page)) return `names page ${page} twice`;
    seen.add(page);
  }
  return undefined;
}
