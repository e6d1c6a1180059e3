import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { PAGE_SIZE } from '../page.js';

/** A guest's memory as tests say it: a number a page, where 0 is a page of zeros. */
export type Contents = readonly number[];

/** The page that a number stands for; a different one for every number, and only the last bytes tell some apart. */
export function pageOf(content: number): Buffer {
  const page = Buffer.alloc(PAGE_SIZE, content === 0 ? 0 : content % 3 === 0 ? 0xa5 : content % 256);
  page.writeUInt32LE(content, PAGE_SIZE - 4);
  return page;
}

/** Writes a guest's memory as a sparse file; every other page of zeros is a hole, the others are written out. */
export function writeRam(path: string, contents: Contents): void {
  const fd = openSync(path, 'w', 0o600);
  try {
    ftruncateSync(fd, contents.length * PAGE_SIZE);
    for (const [page, content] of contents.entries()) {
      if (content !== 0 || page % 2 === 0) writeSync(fd, pageOf(content), 0, PAGE_SIZE, page * PAGE_SIZE);
    }
  } finally {
    closeSync(fd);
  }
}

/** The contents that a memory hands out, read page by page. */
export function readContents(memory: {
  readonly pageCount: number;
  read(page: number): Uint8Array | undefined;
}): number[] {
  return Array.from({ length: memory.pageCount }, (_, page) => {
    const bytes = memory.read(page);
    if (bytes === undefined) return 0;
    const content = Buffer.from(bytes).readUInt32LE(PAGE_SIZE - 4);
    if (!pageOf(content).equals(bytes)) throw new Error(`page ${page} is no page that a test has written`);
    return content;
  });
}
