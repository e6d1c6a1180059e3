import { restoreFailed } from '../errors.js';
import { MAX_NAME_BYTES, RETURN } from '../protocol.js';

/** What QEMU says on the return path. */
export type ReturnMessage =
  | { readonly type: 'shut'; readonly status: number }
  | { readonly type: 'pong'; readonly value: number }
  | {
      readonly type: 'request';
      readonly block: string;
      readonly offsetBytes: number;
      readonly lengthBytes: number;
    };

const HEAD_BYTES = 4;
const RANGE_BYTES = 12;
const NOTHING = Buffer.alloc(0);

/** Cuts the return path into messages, whatever the borders of the chunks. Holds less than one message. */
export class ReturnPath {
  #rest: Buffer = NOTHING;
  #block: string | undefined;

  /**
   * Takes the next chunk and calls `sink` for each message it completes.
   *
   * @throws DormouseError `restore_failed` for what is no message; the parser must not be used after that
   */
  push(chunk: Uint8Array, sink: (message: ReturnMessage) => void): void {
    const bytes =
      this.#rest.length === 0
        ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
        : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (bytes.length - at >= HEAD_BYTES) {
      const type = bytes.readUInt16BE(at);
      const length = bytes.readUInt16BE(at + 2);
      checkLength(type, length);
      if (bytes.length - at < HEAD_BYTES + length) break;
      sink(this.#message(type, bytes.subarray(at + HEAD_BYTES, at + HEAD_BYTES + length)));
      at += HEAD_BYTES + length;
    }
    this.#rest = at === bytes.length ? NOTHING : Buffer.from(bytes.subarray(at));
  }

  #message(type: number, data: Buffer): ReturnMessage {
    switch (type) {
      case RETURN.shut:
        return { type: 'shut', status: data.readUInt32BE() };
      case RETURN.pong:
        return { type: 'pong', value: data.readUInt32BE() };
      case RETURN.requestInBlock:
        if (data.length !== RANGE_BYTES + 1 + data[RANGE_BYTES]!) throw garbled(type, data.length);
        this.#block = data.toString('latin1', RANGE_BYTES + 1);
        return this.#request(data);
      default:
        return this.#request(data);
    }
  }

  #request(data: Buffer): ReturnMessage {
    if (this.#block === undefined) throw restoreFailed('the VM asked for a page of no block');
    const offsetBytes = Number(data.readBigUInt64BE());
    return { type: 'request', block: this.#block, offsetBytes, lengthBytes: data.readUInt32BE(8) };
  }
}

function checkLength(type: number, length: number): void {
  const fits =
    type === RETURN.shut || type === RETURN.pong
      ? length === 4
      : type === RETURN.request
        ? length === RANGE_BYTES
        : type === RETURN.requestInBlock &&
          length > RANGE_BYTES &&
          length <= RANGE_BYTES + 1 + MAX_NAME_BYTES;
  if (!fits) throw garbled(type, length);
}

function garbled(type: number, length: number): Error {
  return restoreFailed(`the VM sent a message of type ${type} with ${length} bytes, which there is not`);
}
