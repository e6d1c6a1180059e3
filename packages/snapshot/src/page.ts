/** Bytes of a guest page. Every other page size is a matter of how many of these belong together. */
export const PAGE_SIZE = 4096;

/** Largest guest: 1 TiB. Keeps page numbers well inside 32 bits, and a damaged count from asking for all memory. */
export const MAX_PAGES: number = 2 ** 28;

/** Some pages in a row. */
export interface PageRange {
  readonly start: number;
  readonly count: number;
}
