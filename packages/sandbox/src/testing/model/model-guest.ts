import { createServer, type Server, type Socket } from 'node:net';

/*
 * The guest's end of the guest link, as far as a sandbox's life needs it. Source of all numbers: guest/PROTOCOL.md.
 */

const GREETING_BYTES = 32;
const HEADER_BYTES = 12;
const TRAILER_BYTES = 4;
const HELLO = Buffer.from('d0726d6f7573652d68656c6c6f0d0a1a', 'hex');
const WELCOME = Buffer.from('d0726d6f7573652d77656c636d0d0a1a', 'hex');
const MAX_PAYLOAD_BYTES = 262_144;
const OPEN = 1;
const MESSAGE = 3;
const CLOSE = 6;
const PING = 7;
const PONG = 8;
const HOLD = 58;

/** A guest agent that confirms every operation while its VM runs, and answers nothing while the VM stands still. */
export class ModelGuest {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #path: string;
  readonly #runs: () => boolean;
  /** What came while the VM stood still. */
  #waiting: (() => void)[] = [];
  #listening = false;

  /** @param runs whether the VM's processor runs */
  constructor(path: string, runs: () => boolean) {
    this.#path = path;
    this.#runs = runs;
    this.#server = createServer((socket) => this.#serve(socket));
    this.#server.unref();
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#path, resolve);
    });
    this.#listening = true;
  }

  /** The VM runs on. */
  resume(): void {
    for (const act of this.#waiting.splice(0)) act();
  }

  close(): void {
    if (this.#listening) this.#server.close();
    this.#listening = false;
    this.#waiting = [];
    for (const socket of this.#sockets) socket.destroy();
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {});
    let bytes = Buffer.alloc(0);
    let epoch: number | undefined;
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      for (;;) {
        // A host that attaches again says HELLO behind padding, in the middle of a session.
        const hello = bytes.indexOf(HELLO);
        if (hello >= 0 && bytes.length >= hello + GREETING_BYTES) {
          epoch = bytes.readUInt32LE(hello + 20);
          bytes = bytes.subarray(hello + GREETING_BYTES);
          const answer = welcome(epoch);
          this.#do(() => socket.write(answer));
          continue;
        }
        if (epoch === undefined || bytes.length < HEADER_BYTES) return;
        const end = HEADER_BYTES + bytes.readUInt32LE(0) + TRAILER_BYTES;
        if (bytes.length < end) return;
        const frame = bytes.subarray(0, end);
        bytes = bytes.subarray(end);
        const session = epoch;
        this.#do(() => answerFrame(socket, session, frame));
      }
    });
  }

  #do(act: () => void): void {
    if (this.#runs()) act();
    else this.#waiting.push(act);
  }
}

function answerFrame(socket: Socket, epoch: number, frame: Buffer): void {
  const stream = frame.readUInt32LE(4);
  const type = frame.readUInt8(8);
  const payload = frame.subarray(HEADER_BYTES, -TRAILER_BYTES);
  if (type === PING) socket.write(encode(epoch, PONG, stream, payload));
  if (type !== OPEN) return;
  if (payload.readUInt16LE(0) === HOLD) {
    const held = Buffer.alloc(4 + 1);
    held.writeUInt16LE(HOLD);
    held.writeUInt8(1, 4);
    socket.write(encode(epoch, MESSAGE, stream, held));
  }
  socket.write(encode(epoch, CLOSE, stream, Buffer.alloc(12)));
}

function encode(epoch: number, type: number, stream: number, payload: Uint8Array): Buffer {
  const frame = Buffer.alloc(HEADER_BYTES + payload.length + TRAILER_BYTES);
  frame.writeUInt32LE(payload.length, 0);
  frame.writeUInt32LE(stream, 4);
  frame.writeUInt8(type, 8);
  frame.set(payload, HEADER_BYTES);
  frame.writeUInt32LE(epoch, HEADER_BYTES + payload.length);
  return frame;
}

function welcome(epoch: number): Buffer {
  const bytes = Buffer.alloc(GREETING_BYTES);
  bytes.set(WELCOME);
  bytes.writeUInt32LE(1, 16);
  bytes.writeUInt32LE(epoch, 20);
  bytes.writeUInt32LE(MAX_PAYLOAD_BYTES, 24);
  return bytes;
}
