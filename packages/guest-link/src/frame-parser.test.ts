import { DormouseError } from '@dormouse/errors';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Frame, FrameType, Sender } from './frame.js';
import { FrameEncoder } from './frame-encoder.js';
import { FrameParser } from './frame-parser.js';
import {
  FRAME,
  HEADER_BYTES,
  MAX_GUEST_DATA_BYTES,
  MAX_HOST_DATA_BYTES,
  MAX_PAYLOAD_BYTES,
  TRAILER_BYTES,
} from './protocol.js';

const MAX_FRAME_BYTES = HEADER_BYTES + MAX_PAYLOAD_BYTES + TRAILER_BYTES;

const epochs = fc.integer({ min: 1, max: 0xffff_fffe });
const streams = fc.integer({ min: 1, max: 0xffff_ffff });

/** Mostly small payloads, sometimes one of the longest. */
function payloads(min: number, max: number): fc.Arbitrary<Uint8Array> {
  return fc.oneof(
    { weight: 9, arbitrary: fc.uint8Array({ minLength: min, maxLength: Math.min(max, min + 40) }) },
    { weight: 1, arbitrary: fc.integer({ min, max }).map((length) => new Uint8Array(length).fill(length)) },
  );
}

function frames(type: FrameType, min: number, max: number): fc.Arbitrary<Frame> {
  const ofLink = type === FRAME.ping || type === FRAME.pong;
  return fc.record({
    type: fc.constant(type),
    channel: type === FRAME.data ? fc.integer({ min: 0, max: 255 }) : fc.constant(0),
    stream: ofLink ? fc.constant(0) : streams,
    payload: payloads(min, max),
  });
}

const anyFrame: Record<Sender, fc.Arbitrary<Frame>> = {
  guest: fc.oneof(
    frames(FRAME.data, 0, MAX_GUEST_DATA_BYTES),
    frames(FRAME.message, 4, MAX_PAYLOAD_BYTES),
    frames(FRAME.credit, 4, 4),
    frames(FRAME.end, 0, 0),
    frames(FRAME.close, 12, MAX_PAYLOAD_BYTES),
    frames(FRAME.ping, 0, 64),
    frames(FRAME.pong, 0, 64),
  ),
  host: fc.oneof(
    frames(FRAME.open, 8, MAX_PAYLOAD_BYTES),
    frames(FRAME.data, 0, MAX_HOST_DATA_BYTES),
    frames(FRAME.close, 0, 0),
    frames(FRAME.ping, 0, 64),
  ),
};

function cut(bytes: Uint8Array, borders: readonly number[]): Uint8Array[] {
  const at = [0, ...borders.map((border) => border % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end));
}

/** A frame as a value: text compares a hundred times faster than arrays of 262,144 numbers. */
function asValue(frame: Frame): unknown {
  return { ...frame, payload: Buffer.from(frame.payload).toString('latin1') };
}

describe.each(['guest', 'host'] as const)('frames of the %s', (sender) => {
  test('parse to the same frames wherever the chunks are cut', () => {
    fc.assert(
      fc.property(
        epochs,
        fc.array(anyFrame[sender], { maxLength: 12 }),
        fc.array(fc.nat(), { maxLength: 30 }),
        (epoch, sent, borders) => {
          const encoder = new FrameEncoder(epoch);
          const bytes = Buffer.concat(sent.flatMap((frame) => encoder.encode(frame)));
          const parser = new FrameParser(epoch, sender);
          const received: Frame[] = [];
          for (const chunk of cut(bytes, borders)) parser.push(chunk, (frame) => received.push(frame));
          // Compared at the end, so a view that is overwritten later would show.
          expect(received.map(asValue)).toEqual(sent.map(asValue));
          expect(parser.heldBytes).toBe(0);
        },
      ),
      { numRuns: 150 },
    );
  });
});

test('hazard 15: garbage throws nothing but guest_protocol and never makes the parser hold more than one frame', () => {
  const headers = fc
    .tuple(fc.integer({ min: 0, max: 300_000 }), fc.nat(10), fc.integer({ min: 0, max: 9 }), fc.nat(3))
    .map(([length, stream, type, channel]) => {
      const header = Buffer.alloc(HEADER_BYTES);
      header.writeUInt32LE(length);
      header.writeUInt32LE(stream, 4);
      header.writeUInt8(type, 8);
      header.writeUInt8(channel, 9);
      return header;
    });
  const garbage = fc.array(fc.oneof(headers, fc.uint8Array({ maxLength: 200 })), { maxLength: 20 });
  fc.assert(
    fc.property(epochs, garbage, (epoch, chunks) => {
      const parser = new FrameParser(epoch);
      try {
        for (const chunk of chunks) {
          parser.push(chunk, () => {});
          expect(parser.heldBytes).toBeLessThanOrEqual(MAX_FRAME_BYTES);
        }
      } catch (error) {
        expect(error).toBeInstanceOf(DormouseError);
        expect((error as DormouseError).code).toBe('guest_protocol');
      }
    }),
    { numRuns: 2_000 },
  );
});

test('a length beyond the limit is refused before its payload is waited for', () => {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(MAX_GUEST_DATA_BYTES + 1);
  header.writeUInt32LE(1, 4);
  header.writeUInt8(FRAME.data, 8);
  const parser = new FrameParser(7);
  expect(() => parser.push(header, () => {})).toThrow(
    'the guest broke the protocol: a frame of type 2 has 65537 bytes',
  );
});

test('a frame that lies whole in a chunk is handed out without a copy', () => {
  const chunk = Buffer.concat(
    new FrameEncoder(7).encode({ type: FRAME.data, channel: 1, stream: 1, payload: new Uint8Array(10_000) }),
  );
  const received: Frame[] = [];
  new FrameParser(7).push(chunk, (frame) => received.push(frame));
  expect(received[0]?.payload.buffer).toBe(chunk.buffer);
});
