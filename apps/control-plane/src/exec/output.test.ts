import { isUtf8 } from 'node:buffer';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BoundedOutput, encodeOutputs } from './output.js';

function collect(limit: number, ...chunks: Uint8Array[]): BoundedOutput {
  const output = new BoundedOutput(limit);
  for (const chunk of chunks) output.push(chunk);
  return output;
}

test('up to the bound everything is kept, beyond it nothing', () => {
  const exact = collect(4, Buffer.from('ab'), Buffer.from('cd'));
  expect([exact.bytes().toString(), exact.truncated]).toEqual(['abcd', false]);
  const more = collect(4, Buffer.from('ab'), Buffer.from('cde'), Buffer.from('f'));
  expect([more.bytes().toString(), more.truncated]).toEqual(['abcd', true]);
});

test('hazard 13: a character that the bound cuts in half is left out', () => {
  expect(collect(5, Buffer.from('aé€😀')).bytes().toString()).toBe('aé');
  expect(collect(6, Buffer.from('aé€😀')).bytes().toString()).toBe('aé€');
  expect(collect(9, Buffer.from('aé€😀')).bytes().toString()).toBe('aé€');
});

test('hazard 13: characters that are split between chunks arrive whole', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.array(fc.nat(20)), (text, cuts) => {
      const all = Buffer.from(text);
      const output = new BoundedOutput(1 << 20);
      let at = 0;
      for (const cut of cuts) {
        output.push(all.subarray(at, at + cut));
        at += cut;
      }
      output.push(all.subarray(at));
      expect(encodeOutputs([output.bytes()])).toEqual({ encoding: 'utf-8', texts: [all.toString()] });
    }),
  );
});

test('hazard 13: text stays text however it is cut', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 1 }), fc.nat(200), (text, limit) => {
      const output = collect(limit, Buffer.from(text));
      expect(isUtf8(output.bytes())).toBe(true);
      expect(text.startsWith(output.bytes().toString())).toBe(true);
    }),
  );
});

test('hazard 13: bytes that are no text come as base64, both outputs alike', () => {
  const binary = Buffer.from([0xff, 0x00, 0x80]);
  expect(encodeOutputs([Buffer.from('ok'), binary])).toEqual({
    encoding: 'base64',
    texts: [Buffer.from('ok').toString('base64'), binary.toString('base64')],
  });
});
