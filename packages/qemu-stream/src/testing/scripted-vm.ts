import { type Duplex, duplexPair } from 'node:stream';
import { PAGE_BYTES } from '../protocol.js';

/** QEMU's end of a restore that says exactly what a test wants, right or wrong. Reads nothing until `read`. */
export class ScriptedVm {
  /** The source's end. */
  readonly connection: Duplex;
  readonly #socket: Duplex;
  #received = Buffer.alloc(0);
  #wake: () => void = () => {};

  constructor() {
    const [source, vm] = duplexPair();
    this.connection = source;
    this.#socket = vm;
    vm.on('error', () => {});
    vm.pause();
  }

  /** Reads from now on all that comes. */
  read(): this {
    this.#socket.removeAllListeners('data').on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    this.#socket.resume();
    return this;
  }

  /** Reads nothing from now on. */
  stopReading(): void {
    this.#socket.pause();
  }

  /** The next bytes, as soon as there are so many. */
  async take(length: number): Promise<Buffer> {
    while (this.#received.length < length) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const taken = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    return taken;
  }

  /** Whatever has come and was not taken. */
  get unread(): Buffer {
    return this.#received;
  }

  /** Resolves when all that can happen without another word from this end has happened. */
  async idle(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  }

  say(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  pong(value: number): void {
    this.say(message(2, u32(value)));
  }

  shut(status: number): void {
    this.say(message(1, u32(status)));
  }

  /** Asks for pages of a block, by number. */
  request(page: number, block = 'ram', pages = 1): void {
    this.say(request(page * PAGE_BYTES, pages * PAGE_BYTES, block));
  }

  hangUp(): void {
    this.#socket.end();
  }
}

/** A message of the return path. */
export function message(type: number, data: Uint8Array): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(data.length, 2);
  return Buffer.concat([head, data]);
}

/** A request for a range, with or without the name of its block. */
export function request(offsetBytes: number, lengthBytes: number, block?: string): Buffer {
  const range = Buffer.alloc(12);
  range.writeBigUInt64BE(BigInt(offsetBytes), 0);
  range.writeUInt32BE(lengthBytes, 8);
  if (block === undefined) return message(4, range);
  return message(3, Buffer.concat([range, Buffer.from([block.length]), Buffer.from(block, 'latin1')]));
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
