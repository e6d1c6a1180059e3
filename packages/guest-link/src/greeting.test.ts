import fc from 'fast-check';
import { expect, test } from 'vitest';
import { WelcomeFinder } from './greeting.js';
import { WELCOME_MAGIC } from './protocol.js';
import { encodeWelcome } from './testing/scripted-guest.js';

test('WELCOME is found behind anything a former session left, wherever the chunks are cut', () => {
  const epoch = 0x0102_0304;
  const former = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    fc.integer({ min: 1, max: 31 }).map((length) => encodeWelcome(epoch + 1).subarray(0, length)),
    fc.constant(encodeWelcome(epoch + 1)),
    fc.constant(WELCOME_MAGIC),
  );
  const borders = fc.array(fc.nat(), { maxLength: 10 });
  fc.assert(
    fc.property(fc.array(former, { maxLength: 5 }), fc.uint8Array(), borders, (before, rest, cuts) => {
      const bytes = Buffer.concat([...before, encodeWelcome(epoch), rest]);
      const at = [0, ...cuts.map((border) => border % bytes.length).sort((a, b) => a - b), bytes.length];
      const finder = new WelcomeFinder(epoch);
      for (let index = 1; index < at.length; index += 1) {
        const found = finder.push(bytes.subarray(at[index - 1], at[index]));
        if (found === undefined) continue;
        expect(found.welcome).toEqual({ maxPayloadBytes: 262_144 });
        expect(Buffer.concat([found.rest, bytes.subarray(at[index])])).toEqual(Buffer.from(rest));
        return;
      }
      throw new Error('WELCOME was not found');
    }),
  );
});

test('another version and a guest that accepts too little are refused', () => {
  expect(() => new WelcomeFinder(5).push(encodeWelcome(5, 2))).toThrow(
    'the guest speaks version 2 of the guest link, this host version 1',
  );
  expect(() => new WelcomeFinder(5).push(encodeWelcome(5, 1, 1_000))).toThrow(
    'the guest broke the protocol: WELCOME accepts payloads of 1000 bytes',
  );
});
