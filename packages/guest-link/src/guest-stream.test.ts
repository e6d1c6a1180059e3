import { describe, expect, test } from 'vitest';
import { u32 } from './frame.js';
import { Guest } from './guest.js';
import type { GuestProcess } from './guest-process.js';
import { FRAME, MESSAGE } from './protocol.js';
import { ScriptedGuest, uint32 } from './testing/scripted-guest.js';

const WINDOW_BYTES = 65_536;

async function running(
  guest: ScriptedGuest,
  host: Guest,
): Promise<{ process: GuestProcess; stream: number; credit: number }> {
  const starting = host.startProcess({ argv: ['cat'], input: true });
  const { stream, credit } = await guest.opened();
  guest.message(stream, MESSAGE.started, uint32(1));
  return { process: await starting, stream, credit };
}

/** A round trip, after which everything sent before has been seen by both ends. */
async function settled(host: Guest, guest: ScriptedGuest): Promise<void> {
  const thawing = host.thaw();
  guest.close((await guest.opened()).stream);
  await thawing;
}

describe('credit of the guest', () => {
  test('hazard 12: is the window at first and grows only as the consumer takes the data', async () => {
    const { link, guest } = await ScriptedGuest.pair({ windowBytes: WINDOW_BYTES });
    const host = new Guest(link);
    const { process, stream, credit } = await running(guest, host);
    expect(credit).toBe(WINDOW_BYTES);
    const chunk = new Uint8Array(16_382).fill(1);
    for (let index = 0; index < 4; index += 1) guest.data(stream, chunk, 1);
    await settled(host, guest);
    expect(guest.unread).toEqual([]);

    const output = process.output[Symbol.asyncIterator]();
    await output.next();
    // STARTED took 8 bytes of the window. A quarter of it is due at once, less waits for more.
    expect(u32((await guest.expect(FRAME.credit)).payload, 0)).toBe(8 + 16_382);
    await output.next();
    await settled(host, guest);
    expect(guest.unread).toEqual([]);
    await output.next();
    expect(u32((await guest.expect(FRAME.credit)).payload, 0)).toBe(2 * 16_382);
  });

  test('output nobody reads is bounded; discarding it gives the credit back', async () => {
    const { link, guest } = await ScriptedGuest.pair({ windowBytes: WINDOW_BYTES });
    const host = new Guest(link);
    const { process, stream } = await running(guest, host);
    guest.data(stream, new Uint8Array(WINDOW_BYTES - 8), 2);
    await settled(host, guest);
    expect(guest.unread).toEqual([]);
    process.discardOutput();
    expect(u32((await guest.expect(FRAME.credit)).payload, 0)).toBe(WINDOW_BYTES);
  });

  test('hazard 15: DATA beyond it ends the session', async () => {
    const { link, guest } = await ScriptedGuest.pair({ windowBytes: WINDOW_BYTES });
    const { process, stream } = await running(guest, new Guest(link));
    guest.data(stream, new Uint8Array(WINDOW_BYTES - 8), 1);
    guest.data(stream, new Uint8Array(1), 1);
    const reason = {
      code: 'guest_protocol',
      message: 'the guest broke the protocol: DATA beyond the credit',
    };
    await expect(process.exit).rejects.toMatchObject(reason);
    expect(await link.closed).toMatchObject(reason);
  });

  test('a MESSAGE may take it below zero, a second one not', async () => {
    const { link, guest } = await ScriptedGuest.pair({ windowBytes: 8 });
    const { process, stream } = await running(guest, new Guest(link));
    // STARTED used up the window of 8 bytes and was granted anew.
    await guest.expect(FRAME.credit);
    guest.data(stream, new Uint8Array(8), 1);
    const exited = new Uint8Array(9);
    guest.message(stream, MESSAGE.exited, exited);
    expect(await process.exit).toEqual({ exitCode: 0, signal: 0, coreDumped: false });
    guest.message(stream, MESSAGE.exited, exited);
    expect(await link.closed).toMatchObject({ code: 'guest_protocol' });
  });

  test('hazard 12: a reader that takes nothing does not stop the others', async () => {
    const { link, guest } = await ScriptedGuest.pair({ windowBytes: WINDOW_BYTES });
    const host = new Guest(link);
    const slow = await running(guest, host);
    guest.data(slow.stream, new Uint8Array(WINDOW_BYTES - 8), 1);
    const fast = await running(guest, host);
    let received = 0;
    let credit = WINDOW_BYTES - 8;
    const reading = (async () => {
      for await (const { data } of fast.process.output) received += data.length;
    })();
    const total = 10_000_000;
    let sent = 0;
    while (sent < total) {
      if (credit === 0) credit += u32((await guest.expect(FRAME.credit)).payload, 0);
      const length = Math.min(credit, 32_768, total - sent);
      guest.data(fast.stream, new Uint8Array(length), 1);
      credit -= length;
      sent += length;
    }
    guest.message(fast.stream, MESSAGE.exited, new Uint8Array(9));
    guest.close(fast.stream);
    await reading;
    expect(received).toBe(total);
  });
});

describe('credit of the host', () => {
  test('bounds what is written before the guest asks for more', async () => {
    const { link, guest } = await ScriptedGuest.pair();
    const host = new Guest(link);
    const { process, stream } = await running(guest, host);
    const data = Buffer.alloc(300_000, 'abcdefg');
    const writing = process.writeInput(data);
    const received: Uint8Array[] = [];
    const take = async (count: number): Promise<void> => {
      for (let index = 0; index < count; index += 1) received.push((await guest.expect(FRAME.data)).payload);
    };
    await take(8);
    expect(received.map(({ length }) => length)).toEqual(Array(8).fill(32_768));
    await settled(host, guest);
    expect(guest.unread).toEqual([]);
    guest.credit(stream, 10_000);
    guest.credit(stream, 300_000);
    await take(2);
    await writing;
    expect(Buffer.concat(received).equals(data)).toBe(true);
  });

  test('hazard 15: more than can be counted ends the session', async () => {
    const { link, guest } = await ScriptedGuest.pair();
    const { stream } = await running(guest, new Guest(link));
    guest.credit(stream, 0xffff_ffff);
    expect(await link.closed).toMatchObject({
      code: 'guest_protocol',
      message: 'the guest broke the protocol: credit exceeds what can be counted',
    });
  });

  test('a write that waits for it can be given up', async () => {
    const { link, guest } = await ScriptedGuest.pair();
    const { process } = await running(guest, new Guest(link));
    await expect(process.writeInput(new Uint8Array(300_000), { timeoutMs: 30 })).rejects.toMatchObject({
      code: 'timeout',
    });
    const controller = new AbortController();
    const writing = process.writeInput(new Uint8Array(1), { signal: controller.signal });
    controller.abort();
    await expect(writing).rejects.toMatchObject({ code: 'cancelled' });
  });

  test('a bulk upload delays a small request by no more than the socket holds', async () => {
    const { link, guest } = await ScriptedGuest.pair();
    const host = new Guest(link);
    const upload = host.writeFile('/big', new Uint8Array(10_000_000));
    upload.catch(() => {});
    const { stream } = await guest.opened();
    guest.credit(stream, 10_000_000);
    await guest.expect(FRAME.data);
    const before = guest.unread.length;
    const thawing = host.thaw();
    let bulk = -32_768 * before;
    for (;;) {
      const frame = await guest.next();
      if (frame.type === FRAME.open) break;
      bulk += frame.payload.length;
    }
    expect(bulk).toBeLessThanOrEqual(65_536 + 3 * 32_768);
    const ended = expect(thawing).rejects.toMatchObject({ code: 'guest_unreachable' });
    await link.close();
    await ended;
  });
});

describe('cancelling', () => {
  test('ends the operation for its caller at once and asks the guest to stop', async () => {
    const { link, guest } = await ScriptedGuest.pair();
    const host = new Guest(link);
    const controller = new AbortController();
    const reading = await (async () => {
      const opening = host.readFile('/a', { signal: controller.signal });
      const { stream } = await guest.opened();
      guest.message(stream, MESSAGE.entry, entryBody());
      return { content: await opening, stream };
    })();
    const next = reading.content.data.next();
    controller.abort();
    await expect(next).rejects.toMatchObject({ code: 'cancelled', message: 'read /a was cancelled' });
    expect(await guest.expect(FRAME.close)).toMatchObject({ stream: reading.stream });
    // What was under way is dropped, and the answer to a cancellation is not an error of the link.
    guest.data(reading.stream, new Uint8Array(10));
    guest.close(reading.stream, 11);
    await settled(host, guest);
  });

  test('before the request left, nothing is sent', async () => {
    const { link, guest } = await ScriptedGuest.pair();
    const host = new Guest(link);
    const controller = new AbortController();
    const stat = host.stat('/a', { signal: controller.signal });
    controller.abort();
    await expect(stat).rejects.toMatchObject({ code: 'cancelled' });
    await expect(host.stat('/a', { signal: controller.signal })).rejects.toMatchObject({ code: 'cancelled' });
    const info = host.thaw();
    expect((await guest.next()).stream).toBe(1);
    guest.close(1);
    await info;
  });

  test('silence of the guest ends with a timeout', async () => {
    const { link } = await ScriptedGuest.pair();
    const stat = new Guest(link).stat('/a', { timeoutMs: 20 });
    await expect(stat).rejects.toMatchObject({ code: 'timeout', message: 'stat /a took longer than 20 ms' });
    const aborted = new Guest(link).stat('/a', { signal: AbortSignal.timeout(20) });
    await expect(aborted).rejects.toMatchObject({ code: 'timeout', message: 'stat /a took too long' });
  });

  test('breaking off a list cancels it', async () => {
    const { link, guest } = await ScriptedGuest.pair();
    const list = new Guest(link).list('/a');
    const first = list.next();
    const { stream } = await guest.opened();
    guest.message(stream, MESSAGE.entry, entryBody());
    expect((await first).value).toMatchObject({ name: 'a', path: '/a' });
    await list.return();
    expect(await guest.expect(FRAME.close)).toMatchObject({ stream });
  });

  test('a write whose source fails stops the guest and keeps the cause', async () => {
    const { link, guest } = await ScriptedGuest.pair();
    const cause = new Error('the upload broke off');
    const writing = new Guest(link).writeFile(
      '/a',
      (async function* () {
        yield new Uint8Array(10);
        throw cause;
      })(),
    );
    await expect(writing).rejects.toMatchObject({ message: 'the upload broke off', cause });
    expect(await guest.expect(FRAME.close)).toMatchObject({ stream: 1 });
  });

  test('a write the guest refuses ends although its source says nothing', async () => {
    const { link, guest } = await ScriptedGuest.pair();
    let returned = false;
    const source = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise<IteratorResult<Uint8Array>>(() => {}),
        return: async () => {
          returned = true;
          return { done: true as const, value: undefined };
        },
      }),
    };
    const writing = new Guest(link).writeFile('/a', source);
    const { stream } = await guest.opened();
    guest.close(stream, 8, 28, '/a: No space left on device');
    await expect(writing).rejects.toMatchObject({
      name: 'GuestError',
      code: 'no_space',
      result: 'no_space',
      errno: 28,
      message: '/a: No space left on device',
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(returned).toBe(true);
  });
});

/** ENTRY of an empty file `/a`. */
function entryBody(): Uint8Array {
  const head = Buffer.alloc(36);
  head.writeUInt8(1, 0);
  head.writeUInt8(1, 1);
  const text = (value: string): Buffer => Buffer.concat([uint32(value.length), Buffer.from(value)]);
  return Buffer.concat([head, ...['a', '/a', 'root', 'root', ''].map(text)]);
}
