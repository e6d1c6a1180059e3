import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { inflateRawSync } from 'node:zlib';
import { systemErrorCode } from '@dormouse/errors';
import { corrupt } from '../errors.js';
import { PAGE_SIZE } from '../page.js';
import {
  DIGEST_BYTES,
  decodeFooter,
  decodeTrailer,
  frameDigest,
  type PackedFooter,
  pagesInFrame,
  RAW,
  TRAILER_BYTES,
} from './footer.js';

/**
 * Reads `memory.pages`, synchronously. Opening verifies the footer; every frame is verified before a byte of it is
 * handed out, except by `readUnverified`.
 */
export class PackedPages implements Disposable {
  readonly footer: PackedFooter;
  readonly #subject: string;
  /** Where every frame begins, and at the end where the last one ends. */
  readonly #offsets: Float64Array;
  #fd: number;
  #stored: Buffer = Buffer.alloc(0);
  /** The compressed frame that was compared with last: the next pages are mostly in the same. */
  #frame: Buffer = Buffer.alloc(0);
  #frameIndex = -1;

  private constructor(fd: number, footer: PackedFooter, subject: string) {
    this.#fd = fd;
    this.#subject = subject;
    this.footer = footer;
    this.#offsets = new Float64Array(footer.lengths.length + 1);
    for (const [index, length] of footer.lengths.entries()) {
      this.#offsets[index + 1] = this.#offsets[index]! + length;
    }
  }

  /**
   * @param subject how errors name the file
   * @throws DormouseError `snapshot_corrupt`: missing, cut off, or with a footer that is not as it was written
   */
  static open(path: string, subject: string): PackedPages {
    let fd: number;
    try {
      fd = openSync(path, 'r');
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') throw corrupt(subject, 'is missing', error);
      throw error;
    }
    try {
      const { size } = fstatSync(fd);
      const trailer = readFully(fd, Math.max(0, size - TRAILER_BYTES), Math.min(size, TRAILER_BYTES));
      const { footerBytes } = decodeTrailer(trailer, subject);
      if (footerBytes > size) throw corrupt(subject, 'is truncated');
      const bytes = readFully(fd, size - footerBytes, footerBytes);
      return new PackedPages(fd, decodeFooter(bytes, size - footerBytes, subject), subject);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  get pageCount(): number {
    return this.footer.pageCount;
  }

  /**
   * Reads one frame, verifies it, and puts its pages into `into`.
   *
   * @returns how many bytes that were
   * @throws DormouseError `snapshot_corrupt`: the frame is not what was written
   */
  readFrame(index: number, into: Buffer): number {
    const { codecs, digests, lengths } = this.footer;
    const length = lengths[index]!;
    const full = pagesInFrame(this.footer, index) * PAGE_SIZE;
    const raw = codecs[index] === RAW;
    if (!raw && this.#stored.length < length) this.#stored = Buffer.allocUnsafe(length);
    const stored = (raw ? into : this.#stored).subarray(0, length);
    if (readAt(this.#fd, stored, this.#offsets[index]!) < length)
      throw corrupt(this.#subject, 'is truncated');
    const digest = frameDigest(stored);
    if (digest.compare(digests, index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES) !== 0) {
      throw corrupt(this.#subject, `has a frame that does not match its checksum (frame ${index})`);
    }
    if (!raw) {
      const content = inflated(stored, full);
      if (content === undefined)
        throw corrupt(this.#subject, `has a frame that cannot be read (frame ${index})`);
      content.copy(into);
    }
    return full;
  }

  /**
   * Reads pages that follow each other without verifying frames that are not compressed: for comparing, where wrong
   * bytes can only make a page look changed.
   *
   * @param first packed index of the first page
   * @returns false when the file does not yield them; `into` may then hold anything
   */
  readUnverified(first: number, pages: number, into: Buffer, offset: number): boolean {
    const { codecs, framePages } = this.footer;
    if (first + pages > this.pageCount) return false;
    let page = first;
    let at = offset;
    const end = first + pages;
    while (page < end) {
      const frame = Math.floor(page / framePages);
      const inFrame = page - frame * framePages;
      let last = frame;
      if (codecs[frame] === RAW) {
        while ((last + 1) * framePages < end && codecs[last + 1] === RAW) last += 1;
        const count = Math.min(end, (last + 1) * framePages) - page;
        const position = this.#offsets[frame]! + inFrame * PAGE_SIZE;
        const bytes = into.subarray(at, at + count * PAGE_SIZE);
        if (readAt(this.#fd, bytes, position) < bytes.length) return false;
      } else {
        const content = this.#verifiedFrame(frame);
        if (content === undefined) return false;
        content.copy(
          into,
          at,
          inFrame * PAGE_SIZE,
          Math.min(framePages, end - frame * framePages) * PAGE_SIZE,
        );
      }
      const next = Math.min(end, (last + 1) * framePages);
      at += (next - page) * PAGE_SIZE;
      page = next;
    }
    return true;
  }

  [Symbol.dispose](): void {
    if (this.#fd === -1) return;
    closeSync(this.#fd);
    this.#fd = -1;
  }

  #verifiedFrame(index: number): Buffer | undefined {
    if (index === this.#frameIndex) return this.#frame;
    this.#frameIndex = -1;
    const size = this.footer.framePages * PAGE_SIZE;
    if (this.#frame.length < size) this.#frame = Buffer.allocUnsafe(size);
    try {
      this.readFrame(index, this.#frame);
    } catch {
      return undefined;
    }
    this.#frameIndex = index;
    return this.#frame;
  }
}

/** Inflates to exactly `length` bytes, or not at all. */
function inflated(stored: Buffer, length: number): Buffer | undefined {
  try {
    const content = inflateRawSync(stored, { maxOutputLength: length });
    return content.length === length ? content : undefined;
  } catch {
    return undefined;
  }
}

function readFully(fd: number, position: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  return bytes.subarray(0, readAt(fd, bytes, position));
}

/** Reads until `into` is full or the file ends; answers how much that was. */
function readAt(fd: number, into: Uint8Array, position: number): number {
  let length = 0;
  while (length < into.length) {
    const read = readSync(fd, into, length, into.length - length, position + length);
    if (read === 0) break;
    length += read;
  }
  return length;
}
