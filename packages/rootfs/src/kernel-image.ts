import { DormouseError } from '@dormouse/errors';

/** How the kernel inside a bzImage is compressed, and the tool that undoes it (all write to standard output with -dc). */
export type KernelCompression = 'lz4' | 'zstd' | 'xz' | 'gzip';

/** Offsets of the x86 boot protocol's setup header (Documentation/arch/x86/boot.rst). */
const SETUP_SECTS = 0x1f1;
const HEADER_MAGIC = 0x202;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
const SECTOR_BYTES = 512;
const DEFAULT_SETUP_SECTS = 4;
/** The kernel's build appends the uncompressed size to the payload of every format. */
const SIZE_TRAILER_BYTES = 4;

const MAGICS: readonly (readonly [KernelCompression, string])[] = [
  ['lz4', '02214c18'],
  ['zstd', '28b52ffd'],
  ['xz', 'fd377a58'],
  ['gzip', '1f8b0800'],
];

/** The compressed kernel within a bzImage. */
export interface KernelPayload {
  readonly compression: KernelCompression;
  readonly bytes: Uint8Array;
}

/**
 * Finds the compressed ELF kernel within a bzImage. Booting that through PVH spares the guest the decompression,
 * which takes seconds on an emulated processor.
 *
 * @throws DormouseError `setup_failed` when the file is no bzImage or its compression is not known
 */
export function kernelPayload(bzImage: Buffer): KernelPayload {
  if (
    bzImage.length < SECTOR_BYTES * 2 ||
    bzImage.toString('latin1', HEADER_MAGIC, HEADER_MAGIC + 4) !== 'HdrS'
  ) {
    throw new DormouseError('setup_failed', 'the kernel file is not a bzImage');
  }
  const setupBytes = ((bzImage[SETUP_SECTS] || DEFAULT_SETUP_SECTS) + 1) * SECTOR_BYTES;
  const start = setupBytes + bzImage.readUInt32LE(PAYLOAD_OFFSET);
  const length = bzImage.readUInt32LE(PAYLOAD_LENGTH);
  if (length <= SIZE_TRAILER_BYTES || start + length > bzImage.length) {
    throw new DormouseError('setup_failed', 'the kernel file is truncated');
  }
  const payload = bzImage.subarray(start, start + length);
  const magic = payload.toString('hex', 0, 4);
  const compression = MAGICS.find(([, prefix]) => prefix === magic)?.[0];
  if (compression === undefined) {
    throw new DormouseError('setup_failed', `the kernel is compressed in a way not known (magic ${magic})`);
  }
  return { compression, bytes: payload.subarray(0, -SIZE_TRAILER_BYTES) };
}

/** Names of the modules that a module depends on, from the `depends=` entry of its .modinfo section. */
export function moduleDependencies(module: Buffer): readonly string[] {
  const key = Buffer.from('\0depends=', 'latin1');
  const at = module.indexOf(key);
  if (at < 0) return [];
  const start = at + key.length;
  const list = module.toString('latin1', start, module.indexOf(0, start));
  return list === '' ? [] : list.split(',');
}

/**
 * The order in which to load modules so that each comes after what it depends on.
 *
 * @param dependencies every module that may be needed, with what it depends on; what is built into the kernel is absent
 */
export function loadOrder(
  wanted: readonly string[],
  dependencies: ReadonlyMap<string, readonly string[]>,
): readonly string[] {
  const order: string[] = [];
  const visit = (name: string, path: readonly string[]): void => {
    if (order.includes(name) || path.includes(name)) return;
    const needs = dependencies.get(name);
    if (needs === undefined) return;
    for (const need of needs) visit(need, [...path, name]);
    order.push(name);
  };
  for (const name of wanted) visit(name, []);
  return order;
}
