import { corrupt, unsupported } from '../errors.js';
import { PAGE_BYTES } from '../protocol.js';
import type { SavedPage } from '../saved/ram-section.js';
import type { SavedStream } from '../saved/saved-stream.js';
import { PageSet } from './page-set.js';
import type { PageSource } from './page-source.js';

/** A RAM block as the source serves it: what it holds, and what of it has been sent or asked for. */
export interface ServedBlock {
  readonly name: string;
  readonly pageCount: number;
  /** Pages that were sent since the discard. QEMU refuses a page that comes twice. */
  readonly sent: PageSet;
  readonly requested: PageSet;
  read(page: number): Uint8Array | undefined;
}

/** All blocks of a saved stream. */
export interface ServedBlocks {
  readonly lazy: ServedBlock;
  readonly byName: ReadonlyMap<string, ServedBlock>;
}

/**
 * Matches the blocks of the stream with where their pages are.
 *
 * @throws DormouseError `snapshot_unsupported` when a block is in neither, `snapshot_corrupt` when the sizes differ
 */
export function servedBlocks(saved: SavedStream, pages: PageSource, lazyBlock: string): ServedBlocks {
  const carried = groupByBlock(saved.ram.pages);
  const byName = new Map<string, ServedBlock>();
  for (const { name, lengthBytes } of saved.ram.blocks) {
    const pageCount = lengthBytes / PAGE_BYTES;
    const inStream = carried.get(name) ?? [];
    if (name === lazyBlock) {
      if (pages.pageCount !== pageCount) {
        throw corrupt(`its RAM has ${pageCount} pages and the saved memory ${pages.pageCount}`);
      }
      if (inStream.length > 0) throw unsupported(`it carries pages of block ${name} itself`);
      byName.set(
        name,
        served(name, pageCount, (page) => pages.read(page)),
      );
    } else {
      if (inStream.length !== pageCount) throw unsupported(`it lacks pages of block ${name}`);
      byName.set(name, served(name, pageCount, reader(inStream)));
    }
  }
  const lazy = byName.get(lazyBlock);
  if (lazy === undefined) throw unsupported(`it has no RAM block named ${lazyBlock}`);
  return { lazy, byName };
}

function served(name: string, pageCount: number, read: ServedBlock['read']): ServedBlock {
  return { name, pageCount, sent: new PageSet(pageCount), requested: new PageSet(pageCount), read };
}

function reader(pages: readonly SavedPage[]): ServedBlock['read'] {
  const contents = new Map(pages.map((page) => [page.offsetBytes / PAGE_BYTES, page.content]));
  return (page) => contents.get(page);
}

function groupByBlock(pages: readonly SavedPage[]): ReadonlyMap<string, readonly SavedPage[]> {
  const groups = new Map<string, SavedPage[]>();
  for (const page of pages) {
    const group = groups.get(page.block);
    if (group === undefined) groups.set(page.block, [page]);
    else group.push(page);
  }
  return groups;
}
