import { spawnSync } from 'node:child_process';
import { fstatSync } from 'node:fs';
import { z } from 'zod';
import { PAGE_SIZE, type PageRange } from '../page.js';

/**
 * Reading and comparing holes of a tmpfs file costs about 100 ms a GiB. Asking for its extents costs 10 ms and 3 µs
 * each, so it pays only where there is much to leave out.
 */
const WORTHWHILE_HOLES_BYTES = 128 * 1024 * 1024;

/** Holes smaller than this are read with their surroundings: cheaper than another system call. */
const SMALL_HOLE_PAGES = 64;

/** Part of QEMU, but nothing of a VM: it asks the file system with SEEK_DATA and SEEK_HOLE. */
const TOOL = 'qemu-img';
const TOOL_TIMEOUT_MS = 5_000;
const MAX_LISTING_BYTES = 256 * 1024 * 1024;
const BLOCK_BYTES = 512;

/** Bytes in a row that are all in a hole, or all not. */
interface Extent {
  readonly start: number;
  readonly length: number;
  readonly data: boolean;
}

const listingSchema: z.ZodType<readonly Extent[]> = z.array(
  z.object({ start: z.int().nonnegative(), length: z.int().positive(), data: z.boolean() }),
);

/**
 * Which pages of a sparse file can hold anything but zeros: in order, without overlap, in the file's first `pageCount`
 * pages. Node.js cannot ask for holes itself, so where they are large the listing of `qemu-img map` is used; without
 * it everything counts as populated, which is slower and never wrong.
 */
export function dataRanges(fd: number, path: string, pageCount: number): PageRange[] {
  const everything = [{ start: 0, count: pageCount }];
  const { size, blocks } = fstatSync(fd);
  if (size - blocks * BLOCK_BYTES < WORTHWHILE_HOLES_BYTES) return everything;
  const tool = spawnSync(TOOL, ['map', '--output=json', '-f', 'raw', '-U', path], {
    timeout: TOOL_TIMEOUT_MS,
    maxBuffer: MAX_LISTING_BYTES,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const extents = tool.status === 0 ? parseListing(tool.stdout.toString('latin1'), size) : undefined;
  return extents === undefined ? everything : pageRanges(extents, pageCount);
}

/** The listing, if it says something about every byte of the file. */
export function parseListing(text: string, size: number): readonly Extent[] | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { data } = listingSchema.safeParse(json);
  let end = 0;
  for (const extent of data ?? []) {
    if (extent.start !== end) return undefined;
    end += extent.length;
  }
  return end === size ? data : undefined;
}

/** Extents of bytes as ranges of whole pages, with small holes filled. */
export function pageRanges(extents: readonly Extent[], pageCount: number): PageRange[] {
  const ranges: { start: number; count: number }[] = [];
  for (const extent of extents) {
    if (!extent.data) continue;
    const start = Math.floor(extent.start / PAGE_SIZE);
    const end = Math.min(pageCount, Math.ceil((extent.start + extent.length) / PAGE_SIZE));
    const last = ranges.at(-1);
    if (last !== undefined && start - (last.start + last.count) < SMALL_HOLE_PAGES) {
      last.count = Math.max(last.count, end - last.start);
    } else if (end > start) ranges.push({ start, count: end - start });
  }
  return ranges;
}
