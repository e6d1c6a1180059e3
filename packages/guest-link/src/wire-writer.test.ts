import { DormouseError } from '@dormouse/errors';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { GuestError } from './guest-error.js';
import { WireReader } from './wire-reader.js';
import { WireWriter } from './wire-writer.js';

test('what is written is read again, whatever its size', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 2_000 }).filter((value) => !value.includes('\0'));
  fc.assert(
    fc.property(
      fc.array(text, { maxLength: 10 }),
      fc.uint8Array({ maxLength: 5_000 }),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      (texts, bytes, number) => {
        const written = new WireWriter().strs(texts).bytes(bytes).i64(number).flag(true).finish();
        const reader = new WireReader(written, 'TEST');
        expect(reader.texts()).toEqual(texts);
        expect(Buffer.from(reader.bytes()).equals(bytes)).toBe(true);
        expect(reader.i64()).toBe(number);
        expect(reader.flag()).toBe(true);
        reader.done();
      },
    ),
  );
});

test('what does not fit is refused before anything is sent', () => {
  const writer = (): WireWriter => new WireWriter();
  const refused = [
    () => writer().u16(65_536),
    () => writer().u32(-1),
    () => writer().u32(1.5),
    () => writer().i32(2 ** 31),
    () => writer().u64(-1n),
    () => writer().u64(2n ** 64n),
    () => writer().i64(2n ** 63n),
    () => writer().str('a\0b'),
    () => writer().str(Uint8Array.of(47, 0)),
  ];
  for (const write of refused) expect(write).toThrow(GuestError);
  expect(() => writer().bytes(new Uint8Array(262_140))).toThrow(
    new DormouseError('payload_too_large', 'the arguments exceed 262136 bytes'),
  );
});

test('hazard 15: lengths and counts that do not fit are refused', () => {
  const read = (bytes: readonly number[], take: (reader: WireReader) => unknown): (() => unknown) => {
    return () => take(new WireReader(Uint8Array.from(bytes), 'TEST'));
  };
  expect(read([255, 255, 255, 255, 1], (reader) => reader.bytes())).toThrow('TEST is cut short');
  expect(read([255, 255, 255, 255, 1], (reader) => reader.texts())).toThrow(
    'TEST announces 4294967295 items and is too short for them',
  );
  expect(read([2], (reader) => reader.flag())).toThrow('TEST has 2 where 0 or 1 belongs');
  expect(read([1, 0], (reader) => reader.reserved16())).toThrow('TEST has a reserved field that is not 0');
  expect(read([1], (reader) => reader.done())).toThrow('TEST has 1 bytes too many');
});
