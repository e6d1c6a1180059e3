import {
  FRAME,
  MAX_GUEST_DATA_BYTES,
  MAX_HOST_DATA_BYTES,
  MAX_PAYLOAD_BYTES,
  MAX_PING_BYTES,
  MESSAGE_HEADER_BYTES,
  MIN_RESULT_BYTES,
  OPEN_HEADER_BYTES,
} from './protocol.js';
import { violation } from './violation.js';

/** One of the frame types of `FRAME`. */
export type FrameType = (typeof FRAME)[keyof typeof FRAME];

/** Who sends. */
export type Sender = 'guest' | 'host';

/** A frame without its trailer. `payload` may be a view of a larger buffer. */
export interface Frame {
  readonly type: FrameType;
  /** Only DATA has one; else 0. */
  readonly channel: number;
  /** 0 is the link itself. */
  readonly stream: number;
  readonly payload: Uint8Array;
}

/** A frame's header. */
export interface FrameHeader {
  readonly length: number;
  readonly stream: number;
  readonly type: FrameType;
  readonly channel: number;
}

/** Payload lengths per type. */
type Lengths = ReadonlyMap<number, readonly [min: number, max: number]>;

/** The types each side may send and the payload lengths they may have. */
const LENGTHS: Record<Sender, Lengths> = {
  guest: lengths([
    [FRAME.data, 0, MAX_GUEST_DATA_BYTES],
    [FRAME.message, MESSAGE_HEADER_BYTES, MAX_PAYLOAD_BYTES],
    [FRAME.close, MIN_RESULT_BYTES, MAX_PAYLOAD_BYTES],
  ]),
  host: lengths([
    [FRAME.open, OPEN_HEADER_BYTES, MAX_PAYLOAD_BYTES],
    [FRAME.data, 0, MAX_HOST_DATA_BYTES],
    [FRAME.close, 0, 0],
  ]),
};

function lengths(own: readonly (readonly [type: number, min: number, max: number])[]): Lengths {
  const eitherWay = [
    [FRAME.credit, 4, 4],
    [FRAME.end, 0, 0],
    [FRAME.ping, 0, MAX_PING_BYTES],
    [FRAME.pong, 0, MAX_PING_BYTES],
  ] as const;
  return new Map([...own, ...eitherWay].map(([type, min, max]) => [type, [min, max]]));
}

/**
 * Reads the 12 bytes at `at` and checks them, before anything is allocated for the payload.
 *
 * @throws DormouseError `guest_protocol`
 */
export function readFrameHeader(bytes: Uint8Array, at: number, sender: Sender): FrameHeader {
  const length = u32(bytes, at);
  const stream = u32(bytes, at + 4);
  const type = bytes[at + 8]!;
  const channel = bytes[at + 9]!;
  const range = LENGTHS[sender].get(type);
  if (range === undefined) throw violation(`the ${sender} sends no frames of type ${type}`);
  if (length < range[0] || length > range[1]) {
    throw violation(`a frame of type ${type} has ${length} bytes`);
  }
  if (channel !== 0 && type !== FRAME.data) throw violation(`a frame of type ${type} names a channel`);
  if ((bytes[at + 10]! | bytes[at + 11]!) !== 0)
    throw violation('a frame has a reserved field that is not 0');
  const ofLink = type === FRAME.ping || type === FRAME.pong;
  if (ofLink !== (stream === 0)) throw violation(`a frame of type ${type} belongs to stream ${stream}`);
  return { length, stream, type: type as FrameType, channel };
}

/** A little-endian `u32`. */
export function u32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}
