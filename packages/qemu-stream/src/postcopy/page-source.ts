/**
 * Where the pages of the lazily restored block come from. Everything is synchronous: it is read from the page cache by
 * a process that does nothing else.
 */
export interface PageSource {
  /** Guest pages of 4 KiB in the block. */
  readonly pageCount: number;
  /** The first page at or after `page` that has content (is not zero), or -1. */
  nextPopulated(page: number): number;
  /**
   * The content of one page, verified, or undefined for a page of zeros. Valid until the next call.
   *
   * @throws DormouseError when it cannot be verified
   */
  read(page: number): Uint8Array | undefined;
}
