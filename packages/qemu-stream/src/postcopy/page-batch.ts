import { DormouseError } from '@dormouse/errors';
import { COMMAND, FOOTER, MAX_NAME_BYTES, PAGE_BYTES, RECORD, SECTION } from '../protocol.js';

const TWO_TO_32 = 2 ** 32;
const HEAD_BYTES = 5;
const RECORD_BYTES = 8;
const END_BYTES = RECORD_BYTES + 5;
const PING_BYTES = 9;

/**
 * One `ram` part section with up to a number of pages, built in a buffer that is used again and again.
 *
 * Every page of the largest size fits, each with the name of its block, so nothing that is added can overflow.
 */
export class PageBatch {
  readonly #buffer: Buffer;
  readonly #sectionId: number;
  readonly #capacity: number;
  #at = 0;
  #pages = 0;
  #block: string | undefined;

  /** @param capacity pages that fit */
  constructor(sectionId: number, capacity: number) {
    this.#sectionId = sectionId;
    this.#capacity = capacity;
    const pageBytes = RECORD_BYTES + 1 + MAX_NAME_BYTES + PAGE_BYTES;
    this.#buffer = Buffer.allocUnsafeSlow(HEAD_BYTES + capacity * pageBytes + END_BYTES + PING_BYTES);
    this.reset();
  }

  get pages(): number {
    return this.#pages;
  }

  get full(): boolean {
    return this.#pages === this.#capacity;
  }

  /** Begins anew. What `finish` gave out before must not be in use any more. */
  reset(): void {
    this.#at = 0;
    this.#pages = 0;
    this.#block = undefined;
    this.#at = this.#buffer.writeUInt8(SECTION.part, this.#at);
    this.#at = this.#buffer.writeUInt32BE(this.#sectionId, this.#at);
  }

  /**
   * Adds a page, which is copied.
   *
   * @param content 4,096 bytes, or undefined for zeros
   * @throws DormouseError `internal` for any other number of bytes, which would put the whole stream out of step
   */
  add(block: string, offsetBytes: number, content: Uint8Array | undefined): void {
    if (content !== undefined && content.length !== PAGE_BYTES) {
      throw new DormouseError('internal', `a page of ${content.length} bytes`);
    }
    this.#head(block, offsetBytes, content === undefined ? RECORD.zero : RECORD.page);
    if (content === undefined) {
      this.#at = this.#buffer.writeUInt8(0, this.#at);
    } else {
      this.#buffer.set(content, this.#at);
      this.#at += PAGE_BYTES;
    }
    this.#pages++;
  }

  /**
   * Ends the section.
   *
   * @param ping is sent right behind it
   * @returns a view, valid until `reset`
   */
  finish(ping?: number): Uint8Array {
    this.#u64(RECORD.end);
    this.#at = this.#buffer.writeUInt8(FOOTER, this.#at);
    this.#at = this.#buffer.writeUInt32BE(this.#sectionId, this.#at);
    if (ping !== undefined) {
      this.#at = this.#buffer.writeUInt8(SECTION.command, this.#at);
      this.#at = this.#buffer.writeUInt16BE(COMMAND.ping, this.#at);
      this.#at = this.#buffer.writeUInt16BE(4, this.#at);
      this.#at = this.#buffer.writeUInt32BE(ping, this.#at);
    }
    return this.#buffer.subarray(0, this.#at);
  }

  #head(block: string, offsetBytes: number, flags: number): void {
    if (block === this.#block) {
      this.#u64(offsetBytes + flags + RECORD.sameBlock);
      return;
    }
    this.#u64(offsetBytes + flags);
    this.#at = this.#buffer.writeUInt8(block.length, this.#at);
    this.#at += this.#buffer.write(block, this.#at, 'latin1');
    this.#block = block;
  }

  #u64(value: number): void {
    this.#at = this.#buffer.writeUInt32BE(Math.floor(value / TWO_TO_32), this.#at);
    this.#at = this.#buffer.writeUInt32BE(value % TWO_TO_32, this.#at);
  }
}
