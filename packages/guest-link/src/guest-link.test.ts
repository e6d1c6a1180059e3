import { type Duplex, duplexPair } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { Guest } from './guest.js';
import { GuestLink } from './guest-link.js';
import { ATTACH_PADDING_BYTES, FRAME, MAX_STREAMS, MESSAGE } from './protocol.js';
import { encodeWelcome, receiveHello, ScriptedGuest, uint32 } from './testing/scripted-guest.js';

async function answering(
  answer: (socket: Duplex, epoch: number) => void,
  options: { attach?: boolean; greetTimeoutMs?: number; signal?: AbortSignal } = {},
): Promise<{ link: GuestLink; skipped: number }> {
  const [host, other] = duplexPair();
  const linking = GuestLink.connect(host, { attach: false, ...options });
  linking.catch(() => {});
  other.on('error', () => {});
  const { epoch, skipped } = await receiveHello(other);
  answer(other, epoch);
  return { link: await linking, skipped };
}

describe('greeting', () => {
  test('the first session of a boot starts with HELLO alone, an attached one with the padding', async () => {
    const welcome = (socket: Duplex, epoch: number): unknown => socket.write(encodeWelcome(epoch));
    expect((await answering(welcome)).skipped).toBe(0);
    expect((await answering(welcome, { attach: true })).skipped).toBe(ATTACH_PADDING_BYTES);
  });

  test('half frames and a WELCOME of a former session are passed over', async () => {
    const { link } = await answering((socket, epoch) => {
      socket.write(new Uint8Array(70_000).fill(0xd0));
      socket.write(encodeWelcome(epoch - 1));
      socket.write(encodeWelcome(epoch).subarray(0, 20));
      socket.write(encodeWelcome(epoch));
    });
    expect(link.isOpen).toBe(true);
  });

  test('hazard 15: silence and endless noise end at the bound', async () => {
    const silent = answering(() => {}, { greetTimeoutMs: 20 });
    await expect(silent).rejects.toMatchObject({ code: 'timeout' });
    const noise = answering(
      (socket) => {
        const flood = (): void => {
          if (!socket.destroyed && !socket.writableEnded)
            socket.write(new Uint8Array(1_000), () => setImmediate(flood));
        };
        flood();
        socket.on('close', () => socket.destroy());
      },
      { greetTimeoutMs: 50 },
    );
    await expect(noise).rejects.toMatchObject({
      code: 'timeout',
      message: expect.stringMatching(/^greeting the guest took longer than/),
    });
  });

  test('another version, a closed stream and an aborted signal are told apart', async () => {
    const version2 = answering((socket, epoch) => socket.write(encodeWelcome(epoch, 2)));
    await expect(version2).rejects.toMatchObject({
      code: 'guest_protocol',
      message: 'the guest speaks version 2 of the guest link, this host version 1',
    });
    const gone = answering((socket) => socket.end());
    await expect(gone).rejects.toMatchObject({
      code: 'guest_unreachable',
      message: 'the guest closed the link before it answered',
    });
    const controller = new AbortController();
    const aborted = answering(() => controller.abort(), { signal: controller.signal });
    await expect(aborted).rejects.toMatchObject({ code: 'cancelled' });
    const missing = GuestLink.connect('/nonexistent/guest.sock', { attach: false });
    await expect(missing).rejects.toMatchObject({
      code: 'guest_unreachable',
      message: 'cannot connect to /nonexistent/guest.sock',
    });
  });
});

describe('the end of a link', () => {
  test('rejects every open operation and tells the reason once', async () => {
    const { link, guest } = await ScriptedGuest.pair();
    const host = new Guest(link);
    const stat = host.stat('/a');
    const starting = host.startProcess({ argv: ['sleep'] });
    const running = host.startProcess({ argv: ['cat'], input: true });
    const reading = host.readFile('/b');
    const writing = host.writeFile('/c', new Uint8Array(1_000_000));
    const listing = host.list('/d').next();
    const watching = host.watch('/e');
    const dialing = host.dial(80);
    const ping = link.ping();
    const operations = [stat, starting, reading, writing, listing, watching, dialing, ping];
    const settled = Promise.allSettled(operations);
    await guest.opened();
    await guest.opened();
    const { stream } = await guest.opened();
    guest.message(stream, MESSAGE.started, uint32(7));
    const process = await running;
    const output = process.output[Symbol.asyncIterator]().next();
    const input = process.writeInput(new Uint8Array(1_000_000));
    const rest = Promise.allSettled([output, input, process.exit]);
    guest.socket.end();
    const results = [...(await settled), ...(await rest)];
    expect(results.map((result) => result.status === 'rejected' && result.reason.code)).toEqual(
      results.map(() => 'guest_unreachable'),
    );
    expect(await link.closed).toMatchObject({ code: 'guest_unreachable' });
    expect(link.isOpen).toBe(false);
    await expect(host.stat('/a')).rejects.toMatchObject({ code: 'guest_unreachable' });
    await expect(link.ping()).rejects.toMatchObject({ code: 'guest_unreachable' });
  });

  test('operations nobody waits for leave no unhandled rejection', async () => {
    const { link, guest } = await ScriptedGuest.pair();
    const host = new Guest(link);
    const starting = host.startProcess({ argv: ['sleep'] });
    const dialing = host.dial(80);
    const process = await guest.opened();
    guest.message(process.stream, MESSAGE.started, uint32(7));
    const connection = await guest.opened();
    guest.message(connection.stream, MESSAGE.connected);
    await starting;
    await dialing;
    const input = await host.openInput(7);
    await guest.opened();
    guest.socket.end();
    await link.closed;
    await expect(input.write(new Uint8Array(1))).rejects.toMatchObject({ code: 'invalid_state' });
    await new Promise((resolve) => setImmediate(resolve));
  });

  test('close tells the guest to let go and waits until it has', async () => {
    const { link, guest } = await ScriptedGuest.pair();
    const stat = new Guest(link).stat('/a');
    const { stream } = await guest.opened();
    const closing = link.close();
    await expect(stat).rejects.toMatchObject({
      code: 'guest_unreachable',
      message: 'the link to the guest was closed',
    });
    expect((await guest.next()).type).toBe(FRAME.close);
    const ping = await guest.next();
    guest.close(stream, 11);
    guest.send(FRAME.pong, 0, ping.payload);
    await closing;
    expect(await link.closed).toBeUndefined();
    await link.close();
  });

  test('close does not wait for a guest that is gone', async () => {
    const { link, guest } = await ScriptedGuest.pair();
    const stat = new Guest(link).stat('/a');
    stat.catch(() => {});
    await guest.opened();
    await link.close();
    expect(await link.closed).toBeUndefined();
  });
});

test('ping measures the round trip, pings of the guest are answered', async () => {
  const { link, guest } = await ScriptedGuest.pair();
  const ping = link.ping();
  guest.send(FRAME.pong, 0, (await guest.expect(FRAME.ping)).payload);
  expect(await ping).toBeGreaterThanOrEqual(0);
  guest.send(FRAME.ping, 0, Buffer.from('abc'));
  expect(Buffer.from((await guest.expect(FRAME.pong)).payload).toString()).toBe('abc');
  await expect(link.ping({ timeoutMs: 10 })).rejects.toMatchObject({ code: 'timeout' });
});

test('arguments longer than the guest takes are not sent', async () => {
  const { link } = await answering((socket, epoch) => socket.write(encodeWelcome(epoch, 1, 40_000)));
  const argv = ['echo', 'x'.repeat(50_000)];
  await expect(new Guest(link).startProcess({ argv })).rejects.toMatchObject({ code: 'payload_too_large' });
  expect(link.isOpen).toBe(true);
});

test('one operation more than the protocol allows is refused here', async () => {
  const { link, guest } = await ScriptedGuest.pair();
  const host = new Guest(link);
  const open = Array.from({ length: MAX_STREAMS }, () => host.thaw());
  await expect(host.thaw()).rejects.toMatchObject({ code: 'no_capacity' });
  for (const _ of open) guest.close((await guest.opened()).stream);
  await Promise.all(open);
  const again = host.thaw();
  guest.close((await guest.opened()).stream);
  await again;
});

test('a link to a socket that closes under it is over', async () => {
  const [host, other] = duplexPair();
  const linking = GuestLink.connect(host, { attach: false });
  const { epoch } = await receiveHello(other);
  other.write(encodeWelcome(epoch));
  const link = await linking;
  const cause = new Error('EPIPE');
  host.destroy(cause);
  expect(await link.closed).toMatchObject({ code: 'guest_unreachable', cause });
});
