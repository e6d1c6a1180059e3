import { createHash } from 'node:crypto';
import { corrupt } from '../errors.js';
import { GENERATION_ID_LENGTH } from '../generation-id.js';
import { MAX_PAGES, PAGE_SIZE } from '../page.js';

/*
 * memory.pages, all integers little-endian:
 *   frames, one behind the other: the content of `framePages` pages each, the last one of what is left
 *   table: stored length (u32 a frame), codec (u8 a frame), digest (16 bytes a frame)
 *   trailer: 0 "DMPAGES1"  8 u32 version  12 u32 pages  16 u32 pages a frame  20 u32 frames
 *            24 generation id (28 bytes)  52 SHA-256 of the table and the trailer before this
 * Frames that are not compressed lie at multiples of their size, so pages that follow each other are read at once.
 */
const MAGIC = Buffer.from('DMPAGES1', 'latin1');
const VERSION = 1;
const ID_OFFSET = 24;
const SEAL_OFFSET = ID_OFFSET + GENERATION_ID_LENGTH;
const TABLE_BYTES_PER_FRAME = 4 + 1 + 16;

/** Largest frame a reader accepts: bounds what one page costs, and the buffers of the reader. */
const MAX_FRAME_PAGES = 256;

export const TRAILER_BYTES: number = SEAL_OFFSET + 32;

/** SHA-256 is cut to what still leaves no hope of a second content with the same digest by accident or by trying. */
export const DIGEST_BYTES = 16;

/** How a frame is stored. */
export const RAW = 0;
export const DEFLATE = 1;

/** Where every frame is, how it is stored, and what it must hash to. */
export interface FrameTable {
  readonly pageCount: number;
  readonly framePages: number;
  readonly generationId: string;
  /** Stored length of every frame. */
  readonly lengths: Uint32Array;
  readonly codecs: Uint8Array;
  /** Digests of the stored frames, one behind the other. */
  readonly digests: Uint8Array;
}

/** A footer whose seal has been verified. */
export interface PackedFooter extends FrameTable {
  /** Seal of the footer, in hex: what a manifest records of the whole file, frame digests included. */
  readonly seal: string;
}

/** What the fixed part at the end of the file says, not yet verified. */
export interface Trailer {
  readonly frameCount: number;
  /** Length of table and trailer. */
  readonly footerBytes: number;
}

/** The digest of a frame as it is stored. */
export function frameDigest(stored: Uint8Array): Buffer {
  return createHash('sha256').update(stored).digest().subarray(0, DIGEST_BYTES);
}

/** How many pages frame `index` holds. */
export function pagesInFrame(table: FrameTable, index: number): number {
  return Math.min(table.framePages, table.pageCount - index * table.framePages);
}

/** Table and trailer, sealed. */
export function encodeFooter(table: FrameTable): { bytes: Buffer; seal: string } {
  const frames = table.lengths.length;
  const bytes = Buffer.alloc(frames * TABLE_BYTES_PER_FRAME + TRAILER_BYTES);
  let offset = 0;
  for (const length of table.lengths) offset = bytes.writeUInt32LE(length, offset);
  bytes.set(table.codecs, offset);
  bytes.set(table.digests, offset + frames);
  const trailer = bytes.subarray(frames * TABLE_BYTES_PER_FRAME);
  MAGIC.copy(trailer);
  trailer.writeUInt32LE(VERSION, 8);
  trailer.writeUInt32LE(table.pageCount, 12);
  trailer.writeUInt32LE(table.framePages, 16);
  trailer.writeUInt32LE(frames, 20);
  trailer.write(table.generationId, ID_OFFSET, GENERATION_ID_LENGTH, 'latin1');
  const seal = sealOf(bytes);
  seal.copy(trailer, SEAL_OFFSET);
  return { bytes, seal: seal.toString('hex') };
}

/** Reads the trailer as far as it takes to find the rest of the footer. */
export function decodeTrailer(trailer: Buffer, subject: string): Trailer {
  if (trailer.length < TRAILER_BYTES) throw corrupt(subject, 'is truncated');
  if (!trailer.subarray(0, MAGIC.length).equals(MAGIC)) throw corrupt(subject, 'has no footer');
  const version = trailer.readUInt32LE(8);
  if (version !== VERSION) throw corrupt(subject, `has version ${version}, not ${VERSION}`);
  const frameCount = trailer.readUInt32LE(20);
  if (frameCount > MAX_PAGES) throw corrupt(subject, 'has an impossible footer');
  return { frameCount, footerBytes: frameCount * TABLE_BYTES_PER_FRAME + TRAILER_BYTES };
}

/**
 * The footer in its bytes, verified.
 *
 * @param framesBytes how much of the file lies before the footer
 */
export function decodeFooter(bytes: Buffer, framesBytes: number, subject: string): PackedFooter {
  const seal = sealOf(bytes);
  const trailer = bytes.subarray(bytes.length - TRAILER_BYTES);
  if (!seal.equals(trailer.subarray(SEAL_OFFSET))) {
    throw corrupt(subject, 'has a footer that does not match its checksum');
  }
  const pageCount = trailer.readUInt32LE(12);
  const framePages = trailer.readUInt32LE(16);
  const frames = trailer.readUInt32LE(20);
  if (framePages === 0 || framePages > MAX_FRAME_PAGES || frames !== Math.ceil(pageCount / framePages)) {
    throw corrupt(subject, 'has an impossible footer');
  }
  const footer: PackedFooter = {
    pageCount,
    framePages,
    generationId: trailer.toString('latin1', ID_OFFSET, SEAL_OFFSET),
    lengths: Uint32Array.from({ length: frames }, (_, index) => bytes.readUInt32LE(index * 4)),
    codecs: Uint8Array.from(bytes.subarray(frames * 4, frames * 5)),
    digests: Uint8Array.from(bytes.subarray(frames * 5, frames * TABLE_BYTES_PER_FRAME)),
    seal: seal.toString('hex'),
  };
  checkFrames(footer, framesBytes, subject);
  return footer;
}

function checkFrames(footer: PackedFooter, framesBytes: number, subject: string): void {
  let total = 0;
  for (const [index, length] of footer.lengths.entries()) {
    const full = pagesInFrame(footer, index) * PAGE_SIZE;
    const codec = footer.codecs[index];
    const possible = codec === RAW ? length === full : codec === DEFLATE && length > 0 && length < full;
    if (!possible) throw corrupt(subject, `has an impossible frame ${index}`);
    total += length;
  }
  if (total !== framesBytes) throw corrupt(subject, 'has the wrong length');
}

function sealOf(footer: Buffer): Buffer {
  return createHash('sha256')
    .update(footer.subarray(0, footer.length - TRAILER_BYTES + SEAL_OFFSET))
    .digest();
}
