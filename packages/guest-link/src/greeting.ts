import { DormouseError } from '@dormouse/errors';
import {
  ATTACH_PADDING_BYTES,
  GREETING_BYTES,
  HELLO_MAGIC,
  MAX_HOST_DATA_BYTES,
  MAX_PAYLOAD_BYTES,
  PROTOCOL_VERSION,
  WELCOME_MAGIC,
} from './protocol.js';
import { violation } from './violation.js';

/** HELLO for a session of this epoch. */
export function encodeHello(epoch: number): Uint8Array {
  const hello = Buffer.alloc(GREETING_BYTES);
  hello.set(HELLO_MAGIC);
  hello.writeUInt32LE(PROTOCOL_VERSION, 16);
  hello.writeUInt32LE(epoch, 20);
  hello.writeUInt32LE(MAX_PAYLOAD_BYTES, 24);
  return hello;
}

/** What precedes HELLO when the guest may have had a session before. */
export function attachPadding(): Uint8Array {
  return new Uint8Array(ATTACH_PADDING_BYTES).fill(0xff);
}

/** What WELCOME says. */
export interface Welcome {
  /** Longest payload the guest takes. */
  readonly maxPayloadBytes: number;
}

/** A WELCOME that was found and the bytes after it. */
export interface FoundWelcome {
  readonly welcome: Welcome;
  readonly rest: Uint8Array;
}

/**
 * Looks for this session's WELCOME in whatever a former session left in the pipe. Holds at most 31 bytes between
 * chunks.
 */
export class WelcomeFinder {
  readonly #epoch: number;
  #tail: Buffer = Buffer.alloc(0);

  constructor(epoch: number) {
    this.#epoch = epoch;
  }

  /**
   * Takes the next chunk. A WELCOME of another epoch answers somebody else's HELLO and is passed over.
   *
   * @throws DormouseError `guest_protocol` when the guest speaks another version or accepts too little
   */
  push(chunk: Uint8Array): FoundWelcome | undefined {
    const bytes = Buffer.concat([this.#tail, chunk]);
    let at = bytes.indexOf(WELCOME_MAGIC);
    while (at !== -1 && at + GREETING_BYTES <= bytes.length) {
      if (bytes.readUInt32LE(at + 20) === this.#epoch) {
        return { welcome: readWelcome(bytes, at), rest: bytes.subarray(at + GREETING_BYTES) };
      }
      at = bytes.indexOf(WELCOME_MAGIC, at + 1);
    }
    const keepFrom = at === -1 ? Math.max(0, bytes.length - WELCOME_MAGIC.length + 1) : at;
    this.#tail = Buffer.from(bytes.subarray(keepFrom));
    return undefined;
  }
}

function readWelcome(bytes: Buffer, at: number): Welcome {
  const version = bytes.readUInt32LE(at + 16);
  if (version !== PROTOCOL_VERSION) {
    throw new DormouseError(
      'guest_protocol',
      `the guest speaks version ${version} of the guest link, this host version ${PROTOCOL_VERSION}`,
    );
  }
  const maxPayloadBytes = bytes.readUInt32LE(at + 24);
  if (maxPayloadBytes < MAX_HOST_DATA_BYTES || maxPayloadBytes > MAX_PAYLOAD_BYTES) {
    throw violation(`WELCOME accepts payloads of ${maxPayloadBytes} bytes`);
  }
  return { maxPayloadBytes };
}
