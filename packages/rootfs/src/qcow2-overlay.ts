import { DormouseError } from '@dormouse/errors';

/*
 * An overlay without content is a header and three small tables. Writing them takes a hundredth of the time that
 * starting `qemu-img` does, and a sandbox waits for it each time it wakes.
 *
 * Source of the layout: docs/interop/qcow2.txt of QEMU. All integers are big-endian.
 */

const MAGIC = 0x514649fb;
const VERSION = 3;
const CLUSTER_BITS = 16;
const CLUSTER_BYTES = 2 ** CLUSTER_BITS;
/** Reference counts of 2 to the power of this many bits. */
const REFCOUNT_ORDER = 4;
const REFCOUNT_BYTES = 2;
/** The longest name the header has room for. */
const MAX_BACKING_NAME_BYTES = 1023;
const EXTENSION_BACKING_FORMAT = 0xe2792aca;
/** One entry of the first table leads to a table of the second level: a cluster of entries of eight bytes. */
const BYTES_PER_L1_ENTRY = (CLUSTER_BYTES / 8) * CLUSTER_BYTES;
const SIZE_OFFSET = 24;
const SECTOR_BYTES = 512;

/** Bytes of the header proper, in version 3 without later additions. */
export const QCOW2_HEADER_BYTES = 104;

/** What lies below an overlay, and how large the disk is. */
export interface EmptyOverlay {
  readonly backingPath: string;
  readonly backingFormat: 'raw' | 'qcow2';
  readonly sizeBytes: number;
}

/** A sparse file. */
export interface EncodedOverlay {
  readonly parts: readonly { readonly offset: number; readonly bytes: Uint8Array }[];
  readonly lengthBytes: number;
}

/**
 * Encodes an overlay that has no content of its own: everything is read from what lies below.
 *
 * Clusters: 0 header, 1 table of reference counts, 2 its only block, from 3 on the first-level table.
 *
 * @throws DormouseError `invalid_request` for a path that is too long, or a size that no such header can hold
 */
export function encodeEmptyOverlay({ backingPath, backingFormat, sizeBytes }: EmptyOverlay): EncodedOverlay {
  const name = Buffer.from(backingPath);
  const l1Entries = Math.ceil(sizeBytes / BYTES_PER_L1_ENTRY);
  const clusters = 3 + Math.ceil((l1Entries * 8) / CLUSTER_BYTES);
  if (name.length > MAX_BACKING_NAME_BYTES || name.length === 0) {
    throw new DormouseError('invalid_request', `a disk layer cannot lie on a path of ${name.length} bytes`);
  }
  if (
    !Number.isSafeInteger(sizeBytes) ||
    sizeBytes <= 0 ||
    sizeBytes % SECTOR_BYTES !== 0 ||
    clusters > CLUSTER_BYTES / REFCOUNT_BYTES
  ) {
    throw new DormouseError('invalid_request', `a disk layer cannot have ${sizeBytes} bytes`);
  }
  const extension = extensionOf(EXTENSION_BACKING_FORMAT, Buffer.from(backingFormat));
  const end = Buffer.alloc(8);
  const nameOffset = QCOW2_HEADER_BYTES + extension.length + end.length;
  const header = Buffer.alloc(QCOW2_HEADER_BYTES);
  header.writeUInt32BE(MAGIC, 0);
  header.writeUInt32BE(VERSION, 4);
  header.writeBigUInt64BE(BigInt(nameOffset), 8);
  header.writeUInt32BE(name.length, 16);
  header.writeUInt32BE(CLUSTER_BITS, 20);
  header.writeBigUInt64BE(BigInt(sizeBytes), SIZE_OFFSET);
  header.writeUInt32BE(l1Entries, 36);
  header.writeBigUInt64BE(BigInt(3 * CLUSTER_BYTES), 40);
  header.writeBigUInt64BE(BigInt(CLUSTER_BYTES), 48);
  header.writeUInt32BE(1, 56);
  header.writeUInt32BE(REFCOUNT_ORDER, 96);
  header.writeUInt32BE(QCOW2_HEADER_BYTES, 100);
  const refcountTable = Buffer.alloc(8);
  refcountTable.writeBigUInt64BE(BigInt(2 * CLUSTER_BYTES));
  const refcounts = Buffer.alloc(clusters * REFCOUNT_BYTES);
  for (let cluster = 0; cluster < clusters; cluster++) refcounts.writeUInt16BE(1, cluster * REFCOUNT_BYTES);
  return {
    parts: [
      { offset: 0, bytes: Buffer.concat([header, extension, end, name]) },
      { offset: CLUSTER_BYTES, bytes: refcountTable },
      { offset: 2 * CLUSTER_BYTES, bytes: refcounts },
    ],
    lengthBytes: clusters * CLUSTER_BYTES,
  };
}

/** The size of a disk, from the header of one of its layers. @throws DormouseError `snapshot_corrupt` */
export function decodeDiskSize(header: Uint8Array): number {
  const bytes = Buffer.from(header.buffer, header.byteOffset, header.byteLength);
  if (bytes.length < QCOW2_HEADER_BYTES || bytes.readUInt32BE(0) !== MAGIC) {
    throw new DormouseError('snapshot_corrupt', 'the disk layer has no qcow2 header');
  }
  return Number(bytes.readBigUInt64BE(SIZE_OFFSET));
}

/** Whether bytes begin as every qcow2 file does. */
export function hasQcow2Magic(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && Buffer.from(bytes.buffer, bytes.byteOffset, 4).readUInt32BE(0) === MAGIC;
}

/**
 * The backing file that the header of a layer names; undefined where it names none.
 *
 * @param header the first bytes of the file, up to 64 KiB: the name lies in the first cluster
 * @throws DormouseError `snapshot_corrupt` when these bytes are no header, or the name lies outside of them
 */
export function decodeBackingPath(header: Uint8Array): string | undefined {
  const bytes = Buffer.from(header.buffer, header.byteOffset, header.byteLength);
  if (bytes.length < QCOW2_HEADER_BYTES || !hasQcow2Magic(bytes)) {
    throw new DormouseError('snapshot_corrupt', 'the disk layer has no qcow2 header');
  }
  const offset = bytes.readBigUInt64BE(8);
  const length = bytes.readUInt32BE(16);
  if (offset === 0n) return undefined;
  if (length > MAX_BACKING_NAME_BYTES || offset + BigInt(length) > BigInt(bytes.length)) {
    throw new DormouseError('snapshot_corrupt', 'the disk layer has a damaged qcow2 header');
  }
  return bytes.subarray(Number(offset), Number(offset) + length).toString();
}

function extensionOf(type: number, data: Buffer): Buffer {
  const padded = Buffer.alloc(8 + Math.ceil(data.length / 8) * 8);
  padded.writeUInt32BE(type, 0);
  padded.writeUInt32BE(data.length, 4);
  data.copy(padded, 8);
  return padded;
}
