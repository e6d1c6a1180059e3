// A small host end of the guest link for the agent's own tests: one connection,
// streams as promises. Encoders take arguments in wire order.
import net from 'node:net';

export const OP = {
  PROCESS_START: 1,
  PROCESS_ATTACH: 2,
  PROCESS_LIST: 3,
  PROCESS_SIGNAL: 4,
  PROCESS_RESIZE: 5,
  PROCESS_INPUT: 6,
  FILE_READ: 16,
  FILE_WRITE: 17,
  FILE_STAT: 18,
  DIR_LIST: 19,
  DIR_MAKE: 20,
  FILE_RENAME: 21,
  FILE_REMOVE: 22,
  FILE_CHMOD: 23,
  FILE_CHOWN: 24,
  FILE_SYMLINK: 25,
  XATTR_GET: 26,
  XATTR_SET: 27,
  DIR_WATCH: 28,
  DIAL: 32,
  CONFIGURE: 48,
  CLOCK_SET: 49,
  ENTROPY_ADD: 50,
  SYNC: 51,
  FREEZE: 52,
  THAW: 53,
  METRICS: 54,
  SHUTDOWN: 55,
  INFO: 56,
  NETWORK: 57,
  HOLD: 58,
  WAKE: 59,
};
export const CODES = [
  'ok',
  'invalid_argument',
  'not_found',
  'already_exists',
  'permission_denied',
  'not_directory',
  'is_directory',
  'not_empty',
  'no_space',
  'unknown_user',
  'no_such_process',
  'cancelled',
  'unsupported',
  'failed_precondition',
  'resource_exhausted',
  'io_error',
  'connection_refused',
  'cwd_not_found',
  'command_not_found',
  'timed_out',
  'symlink_loop',
  'read_only',
];
export const ALL = 0xffffffffffffffffn;

export const u8 = (n) => Buffer.from([n]);
export const u16 = (n) => {
  const b = Buffer.alloc(2);
  b.writeUInt16LE(n);
  return b;
};
export const u32 = (n) => {
  const b = Buffer.alloc(4);
  b.writeUInt32LE(n >>> 0);
  return b;
};
export const i32 = (n) => {
  const b = Buffer.alloc(4);
  b.writeInt32LE(n);
  return b;
};
export const u64 = (n) => {
  const b = Buffer.alloc(8);
  b.writeBigUInt64LE(BigInt(n));
  return b;
};
export const i64 = (n) => {
  const b = Buffer.alloc(8);
  b.writeBigInt64LE(BigInt(n));
  return b;
};
export const str = (s) => {
  const b = Buffer.isBuffer(s) ? s : Buffer.from(s);
  return Buffer.concat([u32(b.length), b]);
};
export const strs = (list) => Buffer.concat([u32(list.length), ...list.map(str)]);

/** Reads a message body field by field. */
export class Fields {
  constructor(buffer) {
    this.buffer = buffer;
    this.at = 0;
  }
  take(n) {
    const b = this.buffer.subarray(this.at, this.at + n);
    if (b.length !== n) throw new Error('short body');
    this.at += n;
    return b;
  }
  u8() {
    return this.take(1)[0];
  }
  u16() {
    return this.take(2).readUInt16LE();
  }
  u32() {
    return this.take(4).readUInt32LE();
  }
  i32() {
    return this.take(4).readInt32LE();
  }
  u64() {
    return this.take(8).readBigUInt64LE();
  }
  i64() {
    return this.take(8).readBigInt64LE();
  }
  bytes() {
    return this.take(this.u32());
  }
  str() {
    return this.bytes().toString('utf8');
  }
  done() {
    if (this.at !== this.buffer.length) throw new Error('bytes left over');
  }
}

export function decodeEntry(body) {
  const f = new Fields(body);
  const entry = {
    type: f.u8(),
    targetType: f.u8(),
    zero: f.u16(),
    mode: f.u32(),
    uid: f.u32(),
    gid: f.u32(),
    size: f.u64(),
    seconds: f.i64(),
    nanoseconds: f.u32(),
    name: f.str(),
    path: f.str(),
    owner: f.str(),
    group: f.str(),
    target: f.str(),
  };
  f.done();
  return entry;
}

const HELLO = Buffer.from('d0726d6f7573652d68656c6c6f0d0a1a', 'hex');
const WELCOME = Buffer.from('d0726d6f7573652d77656c636d0d0a1a', 'hex');

class Stream {
  constructor(link, id, window) {
    Object.assign(this, {
      link,
      id,
      window,
      consumed: 0,
      sendCredit: 262144,
      messages: [],
      data: [],
      channels: {},
      ended: false,
      result: null,
      waiters: [],
      autoCredit: true,
      bytes: 0,
    });
    this.closed = new Promise((resolve) => {
      this.resolveClosed = resolve;
    });
  }
  wake() {
    const w = this.waiters;
    this.waiters = [];
    for (const f of w) f();
  }
  /** Waits until `test()` holds (or the stream is closed). */
  async until(test) {
    while (!test()) {
      if (this.result || this.link.broken)
        throw new Error(`stream ended first: ${JSON.stringify(this.result)}`);
      await new Promise((resolve) => this.waiters.push(resolve));
    }
  }
  async message(index = 0) {
    await this.until(() => this.messages.length > index);
    return this.messages[index];
  }
  text(channel) {
    return Buffer.concat(
      this.data.filter((d) => channel === undefined || d.channel === channel).map((d) => d.bytes),
    ).toString('latin1');
  }
  async write(buffer) {
    for (let at = 0; at < buffer.length; ) {
      while (this.sendCredit <= 0) {
        if (this.result) return;
        await new Promise((resolve) => this.waiters.push(resolve));
      }
      const n = Math.min(32768, buffer.length - at, this.sendCredit);
      this.sendCredit -= n;
      const more = this.link.frame(this.id, 2, buffer.subarray(at, at + n));
      at += n;
      if (!more) await new Promise((resolve) => this.link.socket.once('drain', resolve));
    }
  }
  end() {
    this.link.frame(this.id, 5, Buffer.alloc(0));
  }
  cancel() {
    this.link.frame(this.id, 6, Buffer.alloc(0));
  }
  credit(n) {
    this.window += n;
    this.link.frame(this.id, 4, u32(n));
  }
}

export class Host {
  constructor(socket) {
    Object.assign(this, {
      socket,
      chunks: [],
      length: 0,
      epoch: 0,
      greeted: false,
      streams: new Map(),
      lastId: 0,
      pongs: [],
      keepData: true,
      broken: false,
      need: 32,
    });
    socket.on('data', (b) => this.receive(b));
    socket.on('close', () => {
      this.broken = true;
      for (const s of this.streams.values()) s.wake();
    });
    socket.on('error', () => {});
  }
  static async connect(path) {
    const socket = net.connect(path);
    await new Promise((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new Host(socket);
  }
  async greet({ padding = false, version = 1 } = {}) {
    this.epoch = 1 + Math.floor(Math.random() * 0xfffffffd);
    this.greeted = false;
    this.lastId = 0;
    this.need = 32;
    this.streams.clear();
    if (padding) this.socket.write(Buffer.alloc(262160, 0xff));
    this.socket.write(Buffer.concat([HELLO, u32(version), u32(this.epoch), u32(262144), u32(0)]));
    await new Promise((resolve) => {
      this.onWelcome = resolve;
    });
    return this;
  }
  frame(stream, type, payload, channel = 0) {
    return this.socket.write(
      Buffer.concat([
        u32(payload.length),
        u32(stream),
        u8(type),
        u8(channel),
        u16(0),
        payload,
        u32(this.epoch),
      ]),
    );
  }
  open(op, args = [], credit = 1 << 20) {
    const stream = new Stream(this, ++this.lastId, credit);
    this.streams.set(stream.id, stream);
    this.frame(stream.id, 1, Buffer.concat([u16(op), u16(0), u32(credit), ...args]));
    return stream;
  }
  /** Opens, waits for the end, throws unless it ended as expected. */
  async call(op, args = [], expected = 'ok') {
    const stream = this.open(op, args);
    const result = await stream.closed;
    if (result.code !== expected)
      throw new Error(
        `operation ${op}: expected ${expected}, got ${result.code} (${result.errno}) ${result.message}`,
      );
    return stream;
  }
  receive(b) {
    this.chunks.push(b);
    this.length += b.length;
    if (this.length < this.need) return;
    let buffer = this.chunks.length === 1 ? this.chunks[0] : Buffer.concat(this.chunks);
    for (;;) {
      const used = this.greeted ? this.takeFrame(buffer) : this.takeWelcome(buffer);
      if (!used) break;
      buffer = buffer.subarray(used);
    }
    this.chunks = buffer.length ? [buffer] : [];
    this.length = buffer.length;
  }
  takeWelcome(buffer) {
    const at = buffer.indexOf(WELCOME);
    if (at < 0 || buffer.length < at + 32) return 0;
    if (buffer.readUInt32LE(at + 20) !== this.epoch) return at + 1;
    this.greeted = true;
    this.need = 16;
    this.version = buffer.readUInt32LE(at + 16);
    this.onWelcome(this.version);
    return at + 32;
  }
  takeFrame(buffer) {
    if (buffer.length < 16) {
      this.need = 16;
      return 0;
    }
    const length = buffer.readUInt32LE(0);
    if (length > 262144) throw new Error(`frame of ${length} bytes`);
    if (buffer.length < 16 + length) {
      this.need = 16 + length;
      return 0;
    }
    this.need = 16;
    if (buffer.readUInt32LE(12 + length) !== this.epoch) throw new Error('bad trailer');
    this.dispatch(buffer.readUInt32LE(4), buffer[8], buffer[9], buffer.subarray(12, 12 + length));
    return 16 + length;
  }
  dispatch(id, type, channel, payload) {
    if (type === 8) {
      this.pongs.push(payload);
      if (this.onPong) this.onPong(payload);
      return;
    }
    const stream = this.streams.get(id);
    if (!stream) throw new Error(`frame for unknown stream ${id}`);
    if (stream.result) throw new Error(`frame after CLOSE on stream ${id}`);
    if (type === 2 || type === 3) {
      stream.window -= payload.length;
      if (type === 2 && stream.window < 0) throw new Error('sent beyond its credit');
      stream.consumed += payload.length;
      if (stream.autoCredit && stream.consumed >= 262144) {
        stream.credit(stream.consumed);
        stream.consumed = 0;
      }
    }
    if (type === 2) {
      if (payload.length > 65536) throw new Error('DATA too long');
      stream.bytes += payload.length;
      if (stream.onData) stream.onData(payload, channel);
      else if (this.keepData) stream.data.push({ channel, bytes: Buffer.from(payload) });
    } else if (type === 3) {
      stream.messages.push({ kind: payload.readUInt16LE(0), body: Buffer.from(payload.subarray(4)) });
    } else if (type === 4) {
      stream.sendCredit += payload.readUInt32LE(0);
    } else if (type === 5) {
      stream.ended = true;
    } else if (type === 6) {
      const f = new Fields(payload);
      stream.result = { code: CODES[f.u16()], zero: f.u16(), errno: f.i32(), message: f.str() };
      stream.resolveClosed(stream.result);
    } else {
      throw new Error(`frame type ${type} from the guest`);
    }
    stream.wake();
  }
  async ping(payload = Buffer.from('ping')) {
    const answer = new Promise((resolve) => {
      this.onPong = resolve;
    });
    this.frame(0, 7, payload);
    return answer;
  }
  close() {
    this.socket.destroy();
  }
}

export const startArgs = ({
  flags = 0,
  cols = 0,
  rows = 0,
  ring = 0,
  user = '',
  cwd = '',
  tag = '',
  argv,
  env = [],
}) => [u32(flags), u16(cols), u16(rows), u32(ring), str(user), str(cwd), str(tag), strs(argv), strs(env)];

/** Runs a program to its end: { pid, stdout, stderr, code, signal }. */
export async function run(host, options) {
  const stream = host.open(OP.PROCESS_START, startArgs(options));
  if (options.input !== undefined) {
    await stream.write(Buffer.from(options.input));
    stream.end();
  }
  const result = await stream.closed;
  if (result.code !== 'ok') throw new Error(`${result.code}: ${result.message}`);
  const pid = new Fields(stream.messages[0].body).u32();
  const exit = new Fields(stream.messages[1].body);
  return {
    pid,
    stdout: stream.text(1),
    stderr: stream.text(2),
    terminal: stream.text(3),
    bytes: stream.bytes,
    code: exit.i32(),
    signal: exit.i32(),
  };
}
