import { createHash } from 'node:crypto';
import { endianness } from 'node:os';
import { corrupt } from '../errors.js';
import { GENERATION_ID, GENERATION_ID_LENGTH } from '../generation-id.js';
import { MAX_PAGES } from '../page.js';
import { MAX_SOURCES, PageMap, ZERO } from './page-map.js';
import type { RunTable } from './run-table.js';

/*
 * memory.map, all integers little-endian:
 *   0  "DMPAGMAP"   8  u32 version   12  u32 pages   16  u32 sources   20  u32 runs
 *  24  generation ids of the sources, 28 bytes each
 *      starts (u32 a run), packed indices (u32 a run), origins (u16 a run)
 *      SHA-256 of everything before it
 * Columns lie as they do in memory, so a map of any size is loaded by one read and one pass over it.
 */
const MAGIC = Buffer.from('DMPAGMAP', 'latin1');
const VERSION = 1;
const HEADER_BYTES = 24;
const DIGEST_BYTES = 32;
const BYTES_PER_RUN = 10;

/** The bytes of `memory.map`. */
export function encodePageMap(map: PageMap): Buffer {
  requireLittleEndian();
  const { starts, packed, origins } = map.table;
  const bytes = Buffer.allocUnsafe(encodedLength(map.sources.length, starts.length));
  MAGIC.copy(bytes);
  bytes.writeUInt32LE(VERSION, 8);
  bytes.writeUInt32LE(map.pageCount, 12);
  bytes.writeUInt32LE(map.sources.length, 16);
  bytes.writeUInt32LE(starts.length, 20);
  let offset = HEADER_BYTES;
  for (const source of map.sources) offset += bytes.write(source, offset, GENERATION_ID_LENGTH, 'latin1');
  for (const column of [starts, packed, origins]) {
    bytes.set(new Uint8Array(column.buffer, column.byteOffset, column.byteLength), offset);
    offset += column.byteLength;
  }
  createHash('sha256').update(bytes.subarray(0, offset)).digest().copy(bytes, offset);
  return bytes;
}

/**
 * The map in the bytes of `memory.map`.
 *
 * @param subject how an error names what is read
 * @throws DormouseError `snapshot_corrupt`: not what `encodePageMap` has made, down to the last bit
 */
export function decodePageMap(bytes: Uint8Array, subject: string): PageMap {
  requireLittleEndian();
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.length < HEADER_BYTES + DIGEST_BYTES) throw corrupt(subject, 'is truncated');
  if (!view.subarray(0, MAGIC.length).equals(MAGIC)) throw corrupt(subject, 'is not a page map');
  const version = view.readUInt32LE(8);
  if (version !== VERSION) throw corrupt(subject, `has version ${version}, not ${VERSION}`);
  const pageCount = view.readUInt32LE(12);
  const sourceCount = view.readUInt32LE(16);
  const runCount = view.readUInt32LE(20);
  if (sourceCount > MAX_SOURCES || view.length !== encodedLength(sourceCount, runCount)) {
    throw corrupt(subject, 'has the wrong length');
  }
  const end = view.length - DIGEST_BYTES;
  const digest = createHash('sha256').update(view.subarray(0, end)).digest();
  if (!digest.equals(view.subarray(end))) throw corrupt(subject, 'does not match its checksum');
  const sources = readSources(view, sourceCount);
  const columns = HEADER_BYTES + sourceCount * GENERATION_ID_LENGTH;
  const table: RunTable = {
    pageCount,
    starts: new Uint32Array(copyOf(view, columns, runCount * 4)),
    packed: new Uint32Array(copyOf(view, columns + runCount * 4, runCount * 4)),
    origins: new Uint16Array(copyOf(view, columns + runCount * 8, runCount * 2)),
  };
  const map = new PageMap(table, sources);
  const fault = sources.every((source) => GENERATION_ID.test(source)) ? faultOf(map) : 'names no generation';
  if (fault !== undefined) throw corrupt(subject, fault);
  return map;
}

/** The checksum that a verified map ends with, in hex. */
export function sealOfMap(bytes: Buffer): string {
  return bytes.toString('hex', bytes.length - DIGEST_BYTES);
}

/**
 * What is wrong with a map, as the rest of a sentence: runs must begin at page 0, ascend, stay in the guest, differ
 * from their neighbours, and use every source.
 */
export function faultOf(map: PageMap): string | undefined {
  const { table, sources } = map;
  const { pageCount, starts, packed, origins } = table;
  if (pageCount === 0 || pageCount > MAX_PAGES) return `describes ${pageCount} pages`;
  if (new Set(sources).size !== sources.length) return 'names a source twice';
  if (starts.length === 0 || starts[0] !== 0) return 'does not begin at page 0';
  const used = new Uint8Array(sources.length + 1);
  // There may be millions of runs, so everything the loop needs is at hand.
  const last = starts.length - 1;
  const lastOrigin = sources.length;
  let before = -1;
  let expected = 0;
  for (let index = 0; index <= last; index++) {
    const start = starts[index]!;
    const end = index === last ? pageCount : starts[index + 1]!;
    const origin = origins[index]!;
    const first = packed[index]!;
    if (end <= start || end > pageCount) return `has an impossible run at page ${start}`;
    if (origin > lastOrigin) return `names a source that it does not have at page ${start}`;
    const packedEnd = first + end - start;
    if (origin === ZERO ? first !== 0 : packedEnd > MAX_PAGES) {
      return `has an impossible packed index at page ${start}`;
    }
    if (origin === before && (origin === ZERO || first === expected)) {
      return `has a needless run at page ${start}`;
    }
    before = origin;
    expected = packedEnd;
    used[origin] = 1;
  }
  return used.indexOf(0, 1) === -1 ? undefined : 'has a source that it does not use';
}

function readSources(view: Buffer, count: number): string[] {
  return Array.from({ length: count }, (_, index) => {
    const offset = HEADER_BYTES + index * GENERATION_ID_LENGTH;
    return view.toString('latin1', offset, offset + GENERATION_ID_LENGTH);
  });
}

function copyOf(view: Buffer, offset: number, length: number): ArrayBuffer {
  const copy = new ArrayBuffer(length);
  new Uint8Array(copy).set(view.subarray(offset, offset + length));
  return copy;
}

function encodedLength(sources: number, runs: number): number {
  return HEADER_BYTES + sources * GENERATION_ID_LENGTH + runs * BYTES_PER_RUN + DIGEST_BYTES;
}

function requireLittleEndian(): void {
  if (endianness() !== 'LE') throw new Error('page maps are read and written on little-endian machines only');
}
