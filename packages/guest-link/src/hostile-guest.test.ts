import { DormouseError } from '@dormouse/errors';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { FrameType } from './frame.js';
import { FrameEncoder } from './frame-encoder.js';
import { Guest } from './guest.js';
import { FRAME, MESSAGE } from './protocol.js';
import { ScriptedGuest, uint32 } from './testing/scripted-guest.js';

/** What a guest must not do, on a link with a process on stream 1, a stat on 2 and a list on 3. */
const VIOLATIONS: Record<string, (guest: ScriptedGuest) => void> = {
  'a stream that was never opened': (guest) => guest.data(99, new Uint8Array(1)),
  'another epoch': (guest) => {
    const encoder = new FrameEncoder(guest.epoch === 1 ? 2 : 1);
    guest.raw(...encoder.encode({ type: FRAME.end, channel: 0, stream: 1, payload: new Uint8Array() }));
  },
  'OPEN from the guest': (guest) => guest.send(FRAME.open, 5, new Uint8Array(8)),
  'a frame type that does not exist': (guest) => guest.send(9 as FrameType, 1),
  'PING on a stream': (guest) => guest.send(FRAME.ping, 1),
  'END on the link': (guest) => guest.send(FRAME.end, 0),
  'END twice': (guest) => {
    guest.send(FRAME.end, 1);
    guest.send(FRAME.end, 1);
  },
  'DATA after END': (guest) => {
    guest.send(FRAME.end, 1);
    guest.data(1, new Uint8Array(1), 1);
  },
  'DATA that nobody asked for': (guest) => guest.data(2, new Uint8Array(1)),
  'a message that nobody asked for': (guest) => guest.message(2, MESSAGE.started, uint32(1)),
  'STARTED twice': (guest) => guest.message(1, MESSAGE.started, uint32(1)),
  'output on a channel that does not exist': (guest) => guest.data(1, new Uint8Array(1), 4),
  'an entry cut short': (guest) => guest.message(3, MESSAGE.entry, new Uint8Array(20)),
  'an entry whose name is longer than the frame': (guest) => {
    const body = Buffer.alloc(60);
    body.writeUInt8(1, 0);
    body.writeUInt8(1, 1);
    body.writeUInt32LE(0xffff_fff0, 36);
    guest.message(3, MESSAGE.entry, body);
  },
  'ok without an answer': (guest) => guest.close(2),
  'the end of a process stream without the end of the process': (guest) => guest.close(1),
  'a result code that does not exist': (guest) => guest.close(2, 22),
  'a result cut short': (guest) => {
    const payload = Buffer.alloc(12);
    payload.writeUInt32LE(1, 8);
    guest.send(FRAME.close, 2, payload);
  },
  'PINGs without end': (guest) => {
    for (let index = 0; index < 100_000; index += 1) guest.send(FRAME.ping, 0, new Uint8Array(64));
  },
};

async function busyLink(): Promise<{ guest: ScriptedGuest; ends: Promise<PromiseSettledResult<unknown>[]> }> {
  const { link, guest } = await ScriptedGuest.pair();
  const host = new Guest(link);
  const starting = host.startProcess({ argv: ['cat'] });
  guest.message((await guest.opened()).stream, MESSAGE.started, uint32(1));
  const process = await starting;
  const ends = Promise.allSettled([process.exit, host.stat('/a'), host.list('/b').next(), link.closed]);
  await guest.opened();
  await guest.opened();
  return { guest, ends };
}

describe('hazard 15: the session ends with guest_protocol at', () => {
  test.each(Object.entries(VIOLATIONS))('%s', async (_, violate) => {
    const { guest, ends } = await busyLink();
    violate(guest);
    const [exit, stat, list, closed] = await ends;
    for (const end of [exit, stat, list]) {
      expect(end).toMatchObject({ status: 'rejected', reason: { code: 'guest_protocol' } });
    }
    expect(closed).toMatchObject({ status: 'fulfilled', value: { code: 'guest_protocol' } });
  });
});

test('hazard 15: a process that announces a giant argument count is refused before anything is allocated', async () => {
  const { link, guest } = await ScriptedGuest.pair();
  const listing = new Guest(link).listProcesses();
  const { stream } = await guest.opened();
  const body = Buffer.alloc(40);
  body.writeUInt32LE(0xffff_ffff, 36);
  guest.message(stream, MESSAGE.process, body);
  await expect(listing).rejects.toMatchObject({
    code: 'guest_protocol',
    message: 'the guest broke the protocol: PROCESS announces 4294967295 items and is too short for them',
  });
});

test('hazard 15: frames for a stream that the guest has closed mean nothing', async () => {
  const { link, guest } = await ScriptedGuest.pair();
  const host = new Guest(link);
  const thawing = host.thaw();
  const { stream } = await guest.opened();
  guest.close(stream);
  await thawing;
  guest.credit(stream, 1);
  guest.data(stream, new Uint8Array(10));
  guest.close(stream);
  const again = host.thaw();
  guest.close((await guest.opened()).stream);
  await again;
});

test('hazard 15: empty DATA without end is dropped', async () => {
  const { link, guest } = await ScriptedGuest.pair();
  const host = new Guest(link);
  const starting = host.startProcess({ argv: ['cat'] });
  const { stream } = await guest.opened();
  guest.message(stream, MESSAGE.started, uint32(1));
  const process = await starting;
  for (let index = 0; index < 10_000; index += 1) guest.data(stream, new Uint8Array(), 1);
  guest.data(stream, Buffer.from('x'), 1);
  guest.message(stream, MESSAGE.exited, new Uint8Array(9));
  guest.close(stream);
  const output = [];
  for await (const { data } of process.output) output.push(Buffer.from(data).toString());
  expect(output).toEqual(['x']);
});

test('hazard 12: single bytes are put together while they wait', async () => {
  const { link, guest } = await ScriptedGuest.pair();
  const host = new Guest(link);
  const starting = host.startProcess({ argv: ['cat'] });
  const { stream } = await guest.opened();
  guest.message(stream, MESSAGE.started, uint32(1));
  const process = await starting;
  for (let index = 0; index < 20_000; index += 1) guest.data(stream, Uint8Array.of(index), 1);
  guest.message(stream, MESSAGE.exited, new Uint8Array(9));
  guest.close(stream);
  await process.exit;
  const output: Uint8Array[] = [];
  for await (const { data } of process.output) output.push(data);
  expect(output.map(({ length }) => length)).toEqual([16_384, 3_616]);
  expect(Buffer.concat(output)).toEqual(
    Buffer.from(Uint8Array.from({ length: 20_000 }, (_, index) => index)),
  );
});

test('hazard 15: whatever frames a guest sends, every operation ends and only with typed errors', async () => {
  const frame = fc.record({
    type: fc.integer({ min: 0, max: 9 }),
    stream: fc.integer({ min: 0, max: 5 }),
    channel: fc.integer({ min: 0, max: 4 }),
    kind: fc.constantFrom(0, ...Object.values(MESSAGE)),
    body: fc.uint8Array({ maxLength: 64 }),
  });
  const noise = fc.uint8Array({ minLength: 1, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof({ weight: 20, arbitrary: frame }, noise), { maxLength: 30 }),
      async (items) => {
        const { guest, ends } = await busyLink();
        for (const item of items) {
          if (item instanceof Uint8Array) guest.raw(item);
          else if (item.type === FRAME.message) guest.message(item.stream, item.kind, item.body);
          else
            guest.send(
              item.type as FrameType,
              item.stream,
              item.body,
              item.type === FRAME.data ? item.channel : 0,
            );
        }
        guest.socket.end();
        for (const end of await ends) {
          const error: unknown = end.status === 'rejected' ? end.reason : undefined;
          if (error !== undefined) expect(error).toBeInstanceOf(DormouseError);
          const code = error instanceof DormouseError ? error.code : undefined;
          expect(code).not.toBe('internal');
        }
      },
    ),
    { numRuns: 300 },
  );
});
