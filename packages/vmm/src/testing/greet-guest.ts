import { randomBytes } from 'node:crypto';
import { createConnection } from 'node:net';

const HELLO = Buffer.from('d0726d6f7573652d68656c6c6f0d0a1a', 'hex');
const WELCOME = Buffer.from('d0726d6f7573652d77656c636d0d0a1a', 'hex');
const VERSION = 1;
const MAX_PAYLOAD = 262_144;
/** Completes whatever frame an earlier session was cut off in (guest/PROTOCOL.md, "Session"). */
const PADDING_BYTES = 262_160;

/**
 * Greets a guest and resolves when its agent answers, which shows that its user space is up.
 *
 * @param servedBefore whether the guest had a session before
 */
export async function greetGuest(socketPath: string, servedBefore: boolean): Promise<void> {
  const epoch = randomBytes(4);
  epoch[0] = 1;
  const words = Buffer.alloc(16);
  words.writeUInt32LE(VERSION, 0);
  epoch.copy(words, 4);
  words.writeUInt32LE(MAX_PAYLOAD, 8);
  const expected = Buffer.concat([WELCOME, words]);
  const socket = createConnection(socketPath);
  try {
    if (servedBefore) socket.write(Buffer.alloc(PADDING_BYTES, 0xff));
    socket.write(Buffer.concat([HELLO, words]));
    let received = Buffer.alloc(0);
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      received = Buffer.concat([received, chunk]);
      if (received.includes(expected)) return;
    }
    throw new Error('the guest hung up before it answered the greeting');
  } finally {
    socket.destroy();
  }
}
