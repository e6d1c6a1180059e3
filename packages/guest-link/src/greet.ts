import { randomInt } from 'node:crypto';
import { createConnection } from 'node:net';
import type { Duplex } from 'node:stream';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import { bound, type WaitOptions } from './abort.js';
import { attachPadding, encodeHello, type Welcome, WelcomeFinder } from './greeting.js';

/** A stream whose other end has answered the greeting. It is paused. */
export interface GreetedStream {
  readonly socket: Duplex;
  readonly epoch: number;
  readonly welcome: Welcome;
  /** What came right behind WELCOME. */
  readonly rest: Uint8Array;
}

/** How to greet. */
export interface GreetOptions extends WaitOptions {
  /** The guest may have had a session before: drive it out of whatever frame was cut in half. */
  readonly attach: boolean;
}

/**
 * Connects to a UNIX socket.
 *
 * @throws DormouseError `guest_unreachable`, `timeout` or `cancelled`
 */
export async function dialSocket(path: string, options: WaitOptions): Promise<Duplex> {
  const socket = createConnection(path);
  // Node.js throws an 'error' nobody listens to; who owns the socket later listens to 'close' as well.
  socket.on('error', fromUnknown);
  try {
    await new Promise<void>((resolve, reject) => {
      const wait = bound(options, 'connecting to the guest', reject);
      socket.once('connect', resolve);
      socket.once('error', (cause) => reject(unreachable(`cannot connect to ${path}`, cause)));
      socket.once('close', () => wait[Symbol.dispose]());
      socket.once('connect', () => wait[Symbol.dispose]());
    });
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/**
 * Says HELLO and waits for this session's WELCOME. The stream is destroyed when that fails.
 *
 * @throws DormouseError `guest_unreachable`, `guest_protocol`, `timeout` or `cancelled`
 */
export async function greet(socket: Duplex, options: GreetOptions): Promise<GreetedStream> {
  // The bounds of the protocol: neither 0 nor 0xffffffff; `randomInt` leaves its upper bound out.
  const epoch = randomInt(1, 0xffff_ffff);
  const finder = new WelcomeFinder(epoch);
  const listeners = new AbortController();
  socket.on('error', fromUnknown);
  try {
    return await new Promise<GreetedStream>((resolve, reject) => {
      const wait = bound(options, 'greeting the guest', reject);
      listeners.signal.addEventListener('abort', () => wait[Symbol.dispose]());
      if (socket.destroyed) reject(unreachable('the link to the guest is closed'));
      listen(socket, 'data', listeners.signal, (chunk) => {
        try {
          const found = finder.push(chunk as Uint8Array);
          if (found === undefined) return;
          socket.pause();
          listeners.abort();
          resolve({ socket, epoch, ...found });
        } catch (error) {
          reject(error);
        }
      });
      listen(socket, 'error', listeners.signal, (cause) => reject(unreachable('the link failed', cause)));
      const closed = (): void => reject(unreachable('the guest closed the link before it answered'));
      listen(socket, 'end', listeners.signal, closed);
      listen(socket, 'close', listeners.signal, closed);
      if (options.attach) socket.write(attachPadding());
      socket.write(encodeHello(epoch));
    });
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    listeners.abort();
  }
}

/** The guest cannot be talked to. */
export function unreachable(message: string, cause?: unknown): DormouseError {
  return new DormouseError('guest_unreachable', message, { cause });
}

/** Listens until the signal aborts. */
function listen(
  socket: Duplex,
  event: string,
  signal: AbortSignal,
  listener: (value: unknown) => void,
): void {
  socket.on(event, listener);
  signal.addEventListener('abort', () => socket.off(event, listener));
}
