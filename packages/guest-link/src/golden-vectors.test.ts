import { readFileSync } from 'node:fs';
import { DormouseError } from '@dormouse/errors';
import { describe, expect, test } from 'vitest';
import { decodeMessage, decodeResult, decodeWarnings, encodeCredit, encodeOpen } from './envelope.js';
import * as file from './file-codec.js';
import type { Frame, FrameType } from './frame.js';
import { FrameEncoder } from './frame-encoder.js';
import { FrameParser } from './frame-parser.js';
import { encodeHello, WelcomeFinder } from './greeting.js';
import * as process from './process-codec.js';
import * as protocol from './protocol.js';
import { guestResultName } from './result-codes.js';
import * as system from './system-codec.js';

interface Vector {
  readonly name: string;
  readonly what: 'hello' | 'welcome' | 'frame' | 'malformed' | 'greeting';
  readonly direction: 'host-to-guest' | 'guest-to-host';
  readonly hex: string;
  readonly frame: {
    stream: number;
    type: FrameType;
    typeName: string;
    channel: number;
    payloadLength: number;
  };
  readonly op?: string;
  readonly credit: number;
  // biome-ignore lint/suspicious/noExplicitAny: the fields differ per operation; each encoder below picks its own.
  readonly args: any;
  readonly kind?: string;
  readonly kindCode: number;
  // biome-ignore lint/suspicious/noExplicitAny: the fields differ per kind.
  readonly fields: any;
  readonly result?: { code: string; codeNumber: number; errno: number; message: string };
  readonly payload?: string;
  readonly payloadHex?: string;
  readonly verdict?: string;
}

interface Vectors {
  readonly epoch: number;
  readonly limits: Record<string, number>;
  readonly frameTypes: Record<string, number>;
  readonly operations: Record<string, number>;
  readonly messages: Record<string, number>;
  readonly resultCodes: Record<string, number>;
  readonly vectors: readonly Vector[];
}

const golden: Vectors = JSON.parse(
  readFileSync(new URL('../../../guest/vectors/frames.json', import.meta.url), 'utf8'),
);
const encoder = new FrameEncoder(golden.epoch);

function select(match: (vector: Vector) => boolean): [string, Vector][] {
  return golden.vectors.filter(match).map((vector) => [vector.name, vector]);
}

function parse(hex: string, sender: 'guest' | 'host'): Frame[] {
  const frames: Frame[] = [];
  new FrameParser(golden.epoch, sender).push(Buffer.from(hex, 'hex'), (frame) => frames.push(frame));
  return frames;
}

function parseOne(vector: Vector, sender: 'guest' | 'host'): Frame {
  const [frame, ...more] = parse(vector.hex, sender);
  expect(more).toEqual([]);
  const { stream, type, channel, payloadLength } = vector.frame;
  expect({ ...frame, payload: frame?.payload.length }).toEqual({
    stream,
    type,
    channel,
    payload: payloadLength,
  });
  return frame!;
}

function variables(list: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    list.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
}

/** How the arguments of each operation are written, from the fields of its vector. */
const ENCODERS: Record<string, (args: Vector['args']) => Uint8Array> = {
  PROCESS_START: (a) =>
    process.encodeStart({
      argv: a.argv,
      environment: variables(a.env),
      user: a.user,
      cwd: a.cwd,
      tag: a.tag,
      ringBytes: a.ringBytes,
      input: (a.flags & 2) !== 0,
      ...((a.flags & 1) === 0 ? {} : { terminal: { columns: a.cols, rows: a.rows } }),
    }),
  PROCESS_ATTACH: (a) => process.encodeAttach(a.pid, a.backlog === 1),
  PROCESS_LIST: () => new Uint8Array(),
  PROCESS_SIGNAL: (a) => process.encodeSignal(a.pid, a.signal),
  PROCESS_RESIZE: (a) => process.encodeResize(a.pid, { columns: a.cols, rows: a.rows }),
  PROCESS_INPUT: (a) => process.encodeInput(a.pid, a.close === 1),
  FILE_READ: (a) => {
    const length = a.length === '18446744073709551615' ? undefined : BigInt(a.length);
    return file.encodeRead(a.user, a.path, BigInt(a.offset), length);
  },
  FILE_WRITE: (a) =>
    file.encodeWrite(a.user, a.path, {
      parents: (a.flags & 1) !== 0,
      append: (a.flags & 2) !== 0,
      mode: a.mode,
      offset: (a.flags & 4) === 0 ? undefined : BigInt(a.offset),
    }),
  FILE_STAT: (a) => file.encodePath(a.user, a.path),
  DIR_LIST: (a) => file.encodeList(a.user, a.path, a.depth),
  DIR_MAKE: (a) => file.encodeMake(a.user, a.path, a.mode, a.parents === 1),
  FILE_RENAME: (a) => file.encodeRename(a.user, a.from, a.to),
  FILE_REMOVE: (a) => file.encodeRecursive(a.user, a.path, a.recursive === 1),
  FILE_CHMOD: (a) => file.encodeChmod(a.user, a.path, a.mode),
  FILE_CHOWN: (a) => file.encodeChown(a.user, a.path, a.owner, a.group, a.recursive === 1),
  FILE_SYMLINK: (a) => file.encodeSymlink(a.user, a.target, a.path),
  XATTR_GET: (a) => file.encodePath(a.user, a.path),
  XATTR_SET: (a) => {
    const value = a.remove === 1 ? undefined : Buffer.from(a.valueHex, 'hex');
    return file.encodeXattr(a.user, a.path, a.name, value);
  },
  DIR_WATCH: (a) => file.encodeRecursive(a.user, a.path, a.recursive === 1),
  DIAL: (a) => system.encodeDial(a.port, a.host, a.timeoutMs),
  CONFIGURE: (a) =>
    system.encodeConfigure({
      hostname: a.hostname,
      defaultUser: a.defaultUser,
      defaultDirectory: a.defaultWorkdir,
      replaceEnvironment: a.replaceEnv === 1,
      environment: variables(a.env),
    }),
  CLOCK_SET: (a) => system.encodeClock(BigInt(a.seconds) * 1_000_000_000n + BigInt(a.nanoseconds)),
  ENTROPY_ADD: (a) => system.encodeEntropy(Buffer.from(a.bytesHex, 'hex'), a.reseed === 1),
  SYNC: () => new Uint8Array(),
  FREEZE: () => new Uint8Array(),
  THAW: () => new Uint8Array(),
  METRICS: () => new Uint8Array(),
  SHUTDOWN: (a) => system.encodeShutdown(a.kind === 0 ? 'powerOff' : 'restart', a.graceMs),
  INFO: () => new Uint8Array(),
  NETWORK: (a) => system.encodeNetwork(a),
  HOLD: (a) => system.encodeHold(a.timeoutMs),
  WAKE: (a) =>
    system.encodeWake({
      unixNs: BigInt(a.seconds) * 1_000_000_000n + BigInt(a.nanoseconds),
      entropy: Buffer.from(a.entropyHex, 'hex'),
      machineId: a.machineId,
    }),
};

const TYPES = ['broken', 'file', 'directory', 'symlink', 'other'];
const CHANGES = ['', 'create', 'write', 'remove', 'rename', 'chmod', 'overflow'];

function entryOf(f: Vector['fields']): unknown {
  const { nameHex, pathHex, size, modifiedSeconds, type, targetType, ...rest } = f;
  const raw = pathHex === undefined ? undefined : Buffer.from(pathHex, 'hex');
  return {
    ...rest,
    type: TYPES[type],
    targetType: TYPES[targetType],
    sizeBytes: BigInt(size),
    modifiedSeconds: Number(modifiedSeconds),
    ...(raw === undefined
      ? {}
      : { rawPath: new Uint8Array(raw), path: raw.toString(), name: Buffer.from(nameHex, 'hex').toString() }),
  };
}

/** What each message decodes to and what that must equal, from the fields of its vector. */
const DECODERS: Record<string, (body: Uint8Array, fields: Vector['fields']) => [unknown, unknown]> = {
  STARTED: (body, f) => [process.decodeStarted(body), f.pid],
  EXITED: (body, f) => [process.decodeExited(body), { ...f, coreDumped: f.coreDumped === 1 }],
  PROCESS: (body, f) => {
    const { flags, running, startTimeMs, ...rest } = f;
    return [
      process.decodeProcess(body),
      {
        ...rest,
        running: running === 1,
        terminal: (flags & 1) !== 0,
        inputOpen: (flags & 2) !== 0,
        startTimeMs: Number(startTimeMs),
      },
    ];
  },
  ENTRY: (body, f) => [file.decodeEntry(body), entryOf(f)],
  XATTR: (body, f) => [
    file.decodeXattr(body),
    { name: f.name, value: Uint8Array.from(Buffer.from(f.valueHex, 'hex')) },
  ],
  WATCHING: (body) => [system.decodeNothing(body), undefined],
  CONNECTED: (body) => [system.decodeNothing(body), undefined],
  CHANGED: (body, f) => [file.decodeChange(body), { kind: CHANGES[f.kind], name: f.name }],
  HELD: (body, f) => [system.decodeHeld(body), f.held === 1],
  METRICS: (body, f) => [
    system.decodeMetrics(body),
    {
      uptimeMs: Number(f.uptimeMs),
      cpuCount: Number(f.cpuCount),
      cpuBusyMs: Number(f.cpuBusyMs),
      cpuIdleMs: Number(f.cpuIdleMs),
      memoryTotalBytes: BigInt(f.memoryTotal),
      memoryAvailableBytes: BigInt(f.memoryAvailable),
      memoryCachedBytes: BigInt(f.memoryCached),
      swapUsedBytes: BigInt(f.swapUsed),
      diskTotalBytes: BigInt(f.diskTotal),
      diskUsedBytes: BigInt(f.diskUsed),
      diskAvailableBytes: BigInt(f.diskAvailable),
      processes: Number(f.processes),
    },
  ],
  INFO: (body, f) => [
    system.decodeInfo(body),
    { ...f, bootTimeMs: Number(f.bootTimeMs), rootMounted: f.rootMounted === 1 },
  ],
};

describe('golden vectors', () => {
  test('the numbers are the same on both sides', () => {
    const upper = (names: Record<string, number>): Record<string, number> =>
      Object.fromEntries(
        Object.entries(names).map(([name, number]) => [
          name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase(),
          number,
        ]),
      );
    expect(upper(protocol.OPERATION)).toEqual(golden.operations);
    expect(upper(protocol.MESSAGE)).toEqual(golden.messages);
    expect(upper(protocol.FRAME)).toEqual(golden.frameTypes);
    expect(golden.limits).toEqual({
      maxPayload: protocol.MAX_PAYLOAD_BYTES,
      maxDataToHost: protocol.MAX_GUEST_DATA_BYTES,
      maxDataToGuest: protocol.MAX_HOST_DATA_BYTES,
      initialCreditToGuest: protocol.INITIAL_HOST_CREDIT_BYTES,
      maxStreams: protocol.MAX_STREAMS,
      maxPing: protocol.MAX_PING_BYTES,
      maxPath: 4096,
      attachPadding: protocol.ATTACH_PADDING_BYTES,
    });
    const { ok, ...failures } = golden.resultCodes;
    expect(ok).toBe(0);
    for (const [name, number] of Object.entries(failures)) expect(guestResultName(number)).toBe(name);
    expect(guestResultName(Object.keys(failures).length + 1)).toBeUndefined();
  });

  test('the greeting', () => {
    const [, hello] = select((vector) => vector.what === 'hello')[0]!;
    expect(Buffer.from(encodeHello(golden.epoch)).toString('hex')).toBe(hello.hex);
    const [, welcome] = select((vector) => vector.what === 'welcome')[0]!;
    const found = new WelcomeFinder(golden.epoch).push(Buffer.from(welcome.hex, 'hex'));
    expect(found?.welcome).toEqual({ maxPayloadBytes: welcome.fields.maxPayload });
    expect(found?.rest.length).toBe(0);
  });

  test.each(select((vector) => vector.op !== undefined))('%s is written', (_, vector) => {
    const args = ENCODERS[vector.op!]!(vector.args);
    const payload = encodeOpen(golden.operations[vector.op!]!, vector.credit, args);
    const frame = { type: protocol.FRAME.open, channel: 0, stream: vector.frame.stream, payload };
    expect(Buffer.concat(encoder.encode(frame)).toString('hex')).toBe(vector.hex);
    parseOne(vector, 'host');
  });

  test.each(select((vector) => vector.kind !== undefined))('%s is read', (_, vector) => {
    const { kind, body } = decodeMessage(parseOne(vector, 'guest').payload);
    expect(kind).toBe(vector.kindCode);
    const [actual, expected] = DECODERS[vector.kind!]!(body, vector.fields);
    expect(actual).toEqual(expected);
    if (body.length > 0) {
      expect(() => DECODERS[vector.kind!]!(body.subarray(0, -1), vector.fields)).toThrow(
        /broke the protocol/,
      );
    }
    const longer = Buffer.concat([body, Uint8Array.of(0)]);
    expect(() => DECODERS[vector.kind!]!(longer, vector.fields)).toThrow(/broke the protocol/);
  });

  test.each(select((vector) => vector.result !== undefined))('%s is read', (_, vector) => {
    const { payload } = parseOne(vector, 'guest');
    const error = decodeResult(payload);
    const { code, errno, message } = vector.result!;
    if (code === 'ok') {
      expect(error).toBeUndefined();
      expect(decodeWarnings(payload)).toEqual(message === '' ? [] : message.split('\n'));
    } else expect({ ...error, message: error?.message }).toMatchObject({ result: code, errno, message });
  });

  const plain = select(
    ({ what, op, kind, result }) =>
      what === 'frame' && op === undefined && kind === undefined && result === undefined,
  );
  test.each(plain)('%s is written and read', (_, vector) => {
    const frame = parseOne(vector, vector.direction === 'guest-to-host' ? 'guest' : 'host');
    const { credit, payload, payloadHex } = vector;
    const bytes = payloadHex === undefined ? Buffer.from(payload ?? '') : Buffer.from(payloadHex, 'hex');
    const expected = credit === undefined ? bytes : encodeCredit(credit);
    expect(Buffer.from(frame.payload)).toEqual(Buffer.from(expected));
    expect(Buffer.concat(encoder.encode({ ...frame, payload: expected })).toString('hex')).toBe(vector.hex);
  });

  /** What only a session's state tells apart from a good frame. */
  const OF_THE_SESSION = ['OPEN of a stream number used before', 'DATA on a stream never opened'];
  const malformed = select(({ what, verdict }) => what === 'malformed' && verdict === 'hunt');
  test.each(malformed)('malformed: %s is refused', (name, vector) => {
    const refused = (): unknown => parse(vector.hex, 'host');
    if (OF_THE_SESSION.includes(name)) expect(refused).not.toThrow();
    else expect(refused).toThrow(DormouseError);
  });

  test.each(select(({ what }) => what === 'greeting'))('%s is no WELCOME', (_, vector) => {
    expect(new WelcomeFinder(golden.epoch).push(Buffer.from(vector.hex, 'hex'))).toBeUndefined();
  });
});
