import { DormouseError } from '@dormouse/errors';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { message, request, u32 } from '../testing/scripted-vm.js';
import { type ReturnMessage, ReturnPath } from './return-path.js';

const STREAM = Buffer.concat([
  message(2, u32(7)),
  request(0x1_0000_2000, 4096, 'ram'),
  request(0x3000, 4096),
  request(0, 65_536, 'pc.bios'),
  message(1, u32(0)),
]);

const MESSAGES: readonly ReturnMessage[] = [
  { type: 'pong', value: 7 },
  { type: 'request', block: 'ram', offsetBytes: 0x1_0000_2000, lengthBytes: 4096 },
  { type: 'request', block: 'ram', offsetBytes: 0x3000, lengthBytes: 4096 },
  { type: 'request', block: 'pc.bios', offsetBytes: 0, lengthBytes: 65_536 },
  { type: 'shut', status: 0 },
];

function parse(chunks: readonly Uint8Array[]): ReturnMessage[] {
  const path = new ReturnPath();
  const messages: ReturnMessage[] = [];
  for (const chunk of chunks) path.push(chunk, (each) => messages.push(each));
  return messages;
}

describe('the return path', () => {
  test('is cut into messages, whatever the borders of the chunks', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(STREAM.length)), (cuts) => {
        const borders = [0, ...cuts.toSorted((a, b) => a - b), STREAM.length];
        const chunks = borders.slice(1).map((border, index) => STREAM.subarray(borders[index], border));
        expect(parse(chunks)).toEqual(MESSAGES);
      }),
    );
  });

  test.each([
    ['an unknown type', message(9, u32(0))],
    ['a long pong', message(2, Buffer.alloc(5))],
    ['a giant length, before it has come', message(3, Buffer.alloc(65_535)).subarray(0, 4)],
    [
      'a name shorter than its length',
      message(3, Buffer.concat([Buffer.alloc(12), Buffer.from([9]), Buffer.from('ram')])),
    ],
    ['a request for no block', request(0, 4096)],
  ])('hazard 15: %s ends the restore', (_, bytes) => {
    expect(() => parse([bytes])).toThrow(expect.objectContaining({ code: 'restore_failed' }));
  });

  test('hazard 15: garbage never throws anything else', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), (chunks) => {
        try {
          parse(chunks);
        } catch (error) {
          return error instanceof DormouseError;
        }
        return true;
      }),
    );
  });
});
