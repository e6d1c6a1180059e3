import { closeSync, openSync, writeSync } from 'node:fs';
import { deflateRawSync } from 'node:zlib';
import { MAX_PAGES, PAGE_SIZE } from '../page.js';
import { DEFLATE, encodeFooter, frameDigest, RAW } from './footer.js';

/**
 * Pages a frame. A page that is asked for alone costs its whole frame to read and verify: 19 µs at 4 pages, 38 at 8, 65
 * at 16, 130 at 32. Reading everything in order costs 5 to 6 µs a page at any of them, and the table is smaller the
 * larger the frames are: 44 MB for 64 GiB at 8.
 */
const DEFAULT_FRAME_PAGES = 8;

/** Frames are collected up to this before they are written: system calls become rare, memory stays flat. */
const OUTPUT_BYTES = 1024 * 1024;

/** A compressed frame must be at least this much smaller, or reading it costs more than it saves. */
const WORTHWHILE = 0.75;

export interface PackedPagesOptions {
  /** Pages a frame, 1 … 256. Default 8. */
  readonly framePages?: number;
  /**
   * Compress frames where that saves a quarter or more. For what rarely wakes up: less than half the room, but a page
   * that is asked for alone takes four times as long, and comparing a guest with it ten times. Default false.
   */
  readonly compress?: boolean;
}

/** What was written. */
export interface WrittenPages {
  readonly pageCount: number;
  readonly bytes: number;
}

/** Writes `memory.pages`, synchronously and with constant memory. Not durable until somebody syncs the file. */
export class PackedPagesWriter implements Disposable {
  readonly #generationId: string;
  readonly #framePages: number;
  readonly #compress: boolean;
  readonly #output: Buffer;
  readonly #lengths: number[] = [];
  readonly #codecs: number[] = [];
  readonly #digests: Buffer[] = [];
  #fd: number;
  #frameStart = 0;
  #outputEnd = 0;
  #pageCount = 0;
  #bytes = 0;

  /** Makes the file, which must not exist yet. */
  constructor(path: string, generationId: string, options: PackedPagesOptions = {}) {
    this.#generationId = generationId;
    this.#framePages = options.framePages ?? DEFAULT_FRAME_PAGES;
    this.#compress = options.compress ?? false;
    this.#output = Buffer.allocUnsafe(Math.max(OUTPUT_BYTES, this.#framePages * PAGE_SIZE));
    this.#fd = openSync(path, 'wx', 0o600);
  }

  /** How many pages there are so far, which is the packed index of the next. */
  get pageCount(): number {
    return this.#pageCount;
  }

  /**
   * Adds pages.
   *
   * @param from where in `bytes` the first of them begins
   * @returns packed index of the first of them
   */
  append(bytes: Uint8Array, from: number, pages: number): number {
    const first = this.#pageCount;
    if (first + pages > MAX_PAGES) throw new RangeError(`more than ${MAX_PAGES} packed pages`);
    const frameBytes = this.#framePages * PAGE_SIZE;
    let offset = from;
    const end = from + pages * PAGE_SIZE;
    while (offset < end) {
      const room = this.#frameStart + frameBytes - this.#outputEnd;
      const length = Math.min(room, end - offset);
      this.#output.set(bytes.subarray(offset, offset + length), this.#outputEnd);
      this.#outputEnd += length;
      offset += length;
      if (length === room) this.#sealFrame();
    }
    this.#pageCount += pages;
    return first;
  }

  /** Writes what is left and the footer, and closes the file. */
  finish(): WrittenPages {
    this.#sealFrame();
    this.#flush();
    const { bytes } = encodeFooter({
      pageCount: this.#pageCount,
      framePages: this.#framePages,
      generationId: this.#generationId,
      lengths: Uint32Array.from(this.#lengths),
      codecs: Uint8Array.from(this.#codecs),
      digests: Buffer.concat(this.#digests),
    });
    this.#write(bytes);
    this[Symbol.dispose]();
    return { pageCount: this.#pageCount, bytes: this.#bytes };
  }

  /** Closes the file; one that was not finished has no footer and is not readable. */
  [Symbol.dispose](): void {
    if (this.#fd === -1) return;
    closeSync(this.#fd);
    this.#fd = -1;
  }

  #sealFrame(): void {
    const frame = this.#output.subarray(this.#frameStart, this.#outputEnd);
    if (frame.length === 0) return;
    let stored = frame;
    if (this.#compress) {
      const deflated = deflateRawSync(frame, { level: 1 });
      if (deflated.length <= frame.length * WORTHWHILE) stored = deflated;
    }
    const codec = stored === frame ? RAW : DEFLATE;
    if (codec === DEFLATE) this.#output.set(stored, this.#frameStart);
    this.#lengths.push(stored.length);
    this.#codecs.push(codec);
    this.#digests.push(frameDigest(stored));
    this.#frameStart += stored.length;
    this.#outputEnd = this.#frameStart;
    if (this.#frameStart + this.#framePages * PAGE_SIZE > this.#output.length) this.#flush();
  }

  #flush(): void {
    this.#write(this.#output.subarray(0, this.#frameStart));
    this.#frameStart = 0;
    this.#outputEnd = 0;
  }

  #write(bytes: Uint8Array): void {
    let offset = 0;
    while (offset < bytes.length) offset += writeSync(this.#fd, bytes, offset, bytes.length - offset);
    this.#bytes += bytes.length;
  }
}
