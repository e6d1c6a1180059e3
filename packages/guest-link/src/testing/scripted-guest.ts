import { type Duplex, duplexPair } from 'node:stream';
import { type Frame, type FrameType, u32 } from '../frame.js';
import { FrameEncoder } from '../frame-encoder.js';
import { FrameParser } from '../frame-parser.js';
import { type ConnectOptions, GuestLink } from '../guest-link.js';
import { FRAME, GREETING_BYTES, HELLO_MAGIC, WELCOME_MAGIC } from '../protocol.js';

const NOTHING = new Uint8Array();

/** WELCOME as a guest would say it. */
export function encodeWelcome(epoch: number, version = 1, maxPayloadBytes = 262_144): Buffer {
  const welcome = Buffer.alloc(GREETING_BYTES);
  welcome.set(WELCOME_MAGIC);
  welcome.writeUInt32LE(version, 16);
  welcome.writeUInt32LE(epoch, 20);
  welcome.writeUInt32LE(maxPayloadBytes, 24);
  return welcome;
}

/** Reads the epoch of the HELLO that comes, and how many bytes preceded it. Leaves the socket paused. */
export function receiveHello(socket: Duplex): Promise<{ epoch: number; skipped: number }> {
  return new Promise((resolve) => {
    let bytes = Buffer.alloc(0);
    const onData = (chunk: Uint8Array): void => {
      bytes = Buffer.concat([bytes, chunk]);
      const at = bytes.indexOf(HELLO_MAGIC);
      if (at === -1 || bytes.length < at + GREETING_BYTES) return;
      socket.off('data', onData);
      socket.pause();
      resolve({ epoch: bytes.readUInt32LE(at + 20), skipped: at });
    };
    socket.on('data', onData);
  });
}

/** The guest's end of a link that does exactly what a test says, right or wrong. */
export class ScriptedGuest {
  readonly socket: Duplex;
  readonly epoch: number;
  readonly #encoder: FrameEncoder;
  readonly #frames: Frame[] = [];
  readonly #waiting: ((frame: Frame) => void)[] = [];

  constructor(socket: Duplex, epoch: number) {
    this.socket = socket;
    this.epoch = epoch;
    this.#encoder = new FrameEncoder(epoch);
    const parser = new FrameParser(epoch, 'host');
    socket.on('data', (chunk: Uint8Array) => parser.push(chunk, (frame) => this.#receive(frame)));
    socket.on('error', () => {});
    socket.resume();
  }

  /** A link and the guest at its other end, greeted. */
  static async pair(
    options: Partial<ConnectOptions> = {},
  ): Promise<{ link: GuestLink; guest: ScriptedGuest }> {
    const [host, other] = duplexPair();
    const linking = GuestLink.connect(host, { attach: false, ...options });
    const { epoch } = await receiveHello(other);
    const guest = new ScriptedGuest(other, epoch);
    other.write(encodeWelcome(epoch));
    return { link: await linking, guest };
  }

  /** The host's next frame. */
  next(): Promise<Frame> {
    const frame = this.#frames.shift();
    return frame === undefined
      ? new Promise((resolve) => this.#waiting.push(resolve))
      : Promise.resolve(frame);
  }

  /** The host's next frame of this type; others before it are dropped. */
  async expect(type: FrameType): Promise<Frame> {
    for (;;) {
      const frame = await this.next();
      if (frame.type === type) return frame;
    }
  }

  /** The next OPEN, taken apart. */
  async opened(): Promise<{ stream: number; operation: number; credit: number }> {
    const { stream, payload } = await this.expect(FRAME.open);
    return { stream, operation: u32(payload, 0) & 0xffff, credit: u32(payload, 4) };
  }

  /** Frames that came and were not asked for yet. */
  get unread(): readonly Frame[] {
    return this.#frames;
  }

  send(type: FrameType, stream: number, payload: Uint8Array = NOTHING, channel = 0): void {
    this.raw(...this.#encoder.encode({ type, stream, payload, channel }));
  }

  raw(...buffers: readonly Uint8Array[]): void {
    for (const buffer of buffers) this.socket.write(buffer);
  }

  data(stream: number, bytes: Uint8Array, channel = 0): void {
    this.send(FRAME.data, stream, bytes, channel);
  }

  message(stream: number, kind: number, body: Uint8Array = NOTHING): void {
    const payload = Buffer.alloc(4 + body.length);
    payload.writeUInt16LE(kind);
    payload.set(body, 4);
    this.send(FRAME.message, stream, payload);
  }

  credit(stream: number, bytes: number): void {
    this.send(FRAME.credit, stream, uint32(bytes));
  }

  close(stream: number, code = 0, errno = 0, message = ''): void {
    const text = Buffer.from(message);
    const payload = Buffer.alloc(12 + text.length);
    payload.writeUInt16LE(code);
    payload.writeInt32LE(errno, 4);
    payload.writeUInt32LE(text.length, 8);
    payload.set(text, 12);
    this.send(FRAME.close, stream, payload);
  }

  #receive(frame: Frame): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#frames.push(frame);
    else waiting(frame);
  }
}

/** A little-endian `u32`. */
export function uint32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
