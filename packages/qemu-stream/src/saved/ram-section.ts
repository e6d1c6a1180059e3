import { corrupt, unsupported } from '../errors.js';
import { FOOTER, PAGE_BYTES, RECORD, SECTION } from '../protocol.js';
import type { ByteReader } from './byte-reader.js';

/** One region of guest memory. */
export interface RamBlock {
  readonly name: string;
  readonly lengthBytes: number;
  /** Guest physical address. */
  readonly address: number;
}

/** A page that travelled in the stream: those of the small ROM blocks do. */
export interface SavedPage {
  readonly block: string;
  readonly offsetBytes: number;
  /** 4,096 bytes, a view of the stream; absent for a page of zeros. */
  readonly content?: Uint8Array;
}

/** The section named `ram`: its identity, its blocks and the pages it carries. */
export interface RamSection {
  readonly id: number;
  readonly instance: number;
  readonly version: number;
  readonly blocks: readonly RamBlock[];
  /** Each page once, as it was sent last, in the order of the first sending. */
  readonly pages: readonly SavedPage[];
}

const NAME = 'ram';
const VERSION = 4;

/** Reads the section from its start to its end, all parts included. */
export function readRamSection(reader: ByteReader): RamSection {
  if (reader.u8() !== SECTION.start) throw unsupported('something precedes its RAM');
  const id = reader.u32();
  const name = reader.name();
  if (name !== NAME) throw unsupported(`its first section is ${JSON.stringify(name)}, not the RAM`);
  const instance = reader.u32();
  const version = reader.u32();
  if (version !== VERSION) throw unsupported(`its RAM section has version ${version}, not ${VERSION}`);
  const records = new RecordReader(reader);
  records.readToEnd();
  readFooter(reader, id);
  for (let last = false; !last; ) {
    const type = reader.u8();
    if (type !== SECTION.part && type !== SECTION.last) {
      throw unsupported(`a section of type ${type} comes before the end of the RAM`);
    }
    if (reader.u32() !== id) throw unsupported('another section comes before the end of the RAM');
    records.readToEnd();
    readFooter(reader, id);
    last = type === SECTION.last;
  }
  return { id, instance, version, blocks: records.blocks, pages: [...records.pages.values()] };
}

function readFooter(reader: ByteReader, id: number): void {
  if (reader.u8() !== FOOTER || reader.u32() !== id) {
    throw corrupt(`no footer of the RAM at byte ${reader.position}`);
  }
}

/** Reads records up to the one that ends a part. */
class RecordReader {
  readonly blocks: RamBlock[] = [];
  readonly pages: Map<string, SavedPage> = new Map();
  readonly #reader: ByteReader;
  readonly #byName = new Map<string, RamBlock>();
  #current: RamBlock | undefined;

  constructor(reader: ByteReader) {
    this.#reader = reader;
  }

  readToEnd(): void {
    for (;;) {
      const word = this.#reader.u64();
      const flags = word % PAGE_BYTES;
      const address = word - flags;
      switch (flags & ~RECORD.sameBlock) {
        case RECORD.end:
          return;
        case RECORD.size:
          this.#readBlocks(address);
          break;
        case RECORD.zero:
          this.#readZero(address, flags);
          break;
        case RECORD.page: {
          const block = this.#block(address, flags);
          const content = this.#reader.take(PAGE_BYTES);
          this.#keep({ block, offsetBytes: address, content });
          break;
        }
        default:
          throw unsupported(`a RAM record with the flags 0x${flags.toString(16)}`);
      }
    }
  }

  #readBlocks(totalBytes: number): void {
    if (this.blocks.length > 0) throw corrupt('a second list of RAM blocks');
    let left = totalBytes;
    while (left > 0) {
      const block = {
        name: this.#reader.name(),
        lengthBytes: this.#reader.u64(),
        address: this.#reader.u64(),
      };
      const { name, lengthBytes } = block;
      if (lengthBytes === 0 || lengthBytes % PAGE_BYTES !== 0 || lengthBytes > left) {
        throw corrupt(`an absurd length of RAM block ${JSON.stringify(name)}`);
      }
      if (this.#byName.has(name)) throw corrupt(`two RAM blocks named ${JSON.stringify(name)}`);
      left -= lengthBytes;
      this.#byName.set(name, block);
      this.blocks.push(block);
    }
  }

  #readZero(address: number, flags: number): void {
    const block = this.#block(address, flags);
    // The format has room for another byte than zero here; QEMU has never written one.
    if (this.#reader.u8() !== 0) throw corrupt('a page of zeros that are none');
    this.#keep({ block, offsetBytes: address });
  }

  #keep(page: SavedPage): void {
    this.pages.set(`${page.offsetBytes} ${page.block}`, page);
  }

  #block(address: number, flags: number): string {
    if ((flags & RECORD.sameBlock) === 0) this.#current = this.#byName.get(this.#reader.name());
    if (this.#current === undefined) throw corrupt('a page of no RAM block');
    if (address >= this.#current.lengthBytes) throw corrupt('a page beyond the end of its RAM block');
    return this.#current.name;
  }
}
