// Writes frames.json: the byte-exact examples that pin guest/src/protocol.h and
// packages/guest-link/src/protocol.ts to guest/PROTOCOL.md. The encoder below is
// deliberately independent of both.
//
//   node guest/vectors/generate.mjs          write frames.json
//   node guest/vectors/generate.mjs --check  exit 1 when frames.json is out of date
import { readFileSync, writeFileSync } from 'node:fs';

const EPOCH = 0x1d0e5eed;
const HELLO_MAGIC = 'd0726d6f7573652d68656c6c6f0d0a1a';
const WELCOME_MAGIC = 'd0726d6f7573652d77656c636d0d0a1a';

const u8 = (n) => Buffer.from([n]);
const u16 = (n) => { const b = Buffer.alloc(2); b.writeUInt16LE(n); return b; };
const u32 = (n) => { const b = Buffer.alloc(4); b.writeUInt32LE(n); return b; };
const i32 = (n) => { const b = Buffer.alloc(4); b.writeInt32LE(n); return b; };
const u64 = (n) => { const b = Buffer.alloc(8); b.writeBigUInt64LE(BigInt(n)); return b; };
const i64 = (n) => { const b = Buffer.alloc(8); b.writeBigInt64LE(BigInt(n)); return b; };
const bytes = (b) => Buffer.concat([u32(b.length), b]);
const str = (s) => bytes(Buffer.from(s, 'utf8'));
const hex = (h) => bytes(Buffer.from(h, 'hex'));
const strs = (list) => Buffer.concat([u32(list.length), ...list.map(str)]);

// One description per argument list or message body: [name, encoder] in wire order.
// A name that ends in Hex carries bytes that need not be UTF-8.
const OPS = {
  PROCESS_START: [1, [['flags', u32], ['cols', u16], ['rows', u16], ['ringBytes', u32], ['user', str], ['cwd', str], ['tag', str], ['argv', strs], ['env', strs]]],
  PROCESS_ATTACH: [2, [['pid', u32], ['backlog', u8]]],
  PROCESS_LIST: [3, []],
  PROCESS_SIGNAL: [4, [['pid', u32], ['signal', i32]]],
  PROCESS_RESIZE: [5, [['pid', u32], ['cols', u16], ['rows', u16]]],
  PROCESS_INPUT: [6, [['pid', u32], ['close', u8]]],
  FILE_READ: [16, [['user', str], ['path', str], ['offset', u64], ['length', u64]]],
  FILE_WRITE: [17, [['user', str], ['path', str], ['flags', u32], ['mode', u32], ['offset', u64]]],
  FILE_STAT: [18, [['user', str], ['path', str]]],
  DIR_LIST: [19, [['user', str], ['path', str], ['depth', u32]]],
  DIR_MAKE: [20, [['user', str], ['path', str], ['mode', u32], ['parents', u8]]],
  FILE_RENAME: [21, [['user', str], ['from', str], ['to', str]]],
  FILE_REMOVE: [22, [['user', str], ['path', str], ['recursive', u8]]],
  FILE_CHMOD: [23, [['user', str], ['path', str], ['mode', u32]]],
  FILE_CHOWN: [24, [['user', str], ['path', str], ['owner', str], ['group', str], ['recursive', u8]]],
  FILE_SYMLINK: [25, [['user', str], ['target', str], ['path', str]]],
  XATTR_GET: [26, [['user', str], ['path', str]]],
  XATTR_SET: [27, [['user', str], ['path', str], ['name', str], ['remove', u8], ['valueHex', hex]]],
  DIR_WATCH: [28, [['user', str], ['path', str], ['recursive', u8]]],
  DIAL: [32, [['port', u16], ['host', str], ['timeoutMs', u32]]],
  CONFIGURE: [48, [['hostname', str], ['defaultUser', str], ['defaultWorkdir', str], ['replaceEnv', u8], ['env', strs]]],
  CLOCK_SET: [49, [['seconds', i64], ['nanoseconds', u32]]],
  ENTROPY_ADD: [50, [['bytesHex', hex], ['reseed', u8]]],
  SYNC: [51, []],
  FREEZE: [52, []],
  THAW: [53, []],
  METRICS: [54, []],
  SHUTDOWN: [55, [['kind', u8], ['graceMs', u32]]],
  INFO: [56, []],
  NETWORK: [57, [['interface', str], ['address', str], ['gateway', str], ['nameServer', str]]],
  HOLD: [58, [['timeoutMs', u32]]],
  WAKE: [59, [['seconds', i64], ['nanoseconds', u32], ['entropyHex', hex], ['machineId', str]]],
};

const zero16 = () => u16(0);
const ENTRY = [['type', u8], ['targetType', u8], [null, zero16], ['mode', u32], ['uid', u32], ['gid', u32], ['size', u64], ['modifiedSeconds', i64], ['modifiedNanoseconds', u32], ['name', str], ['path', str], ['owner', str], ['group', str], ['symlinkTarget', str]];
const ENTRY_HEX = ENTRY.map(([n, e]) => (n === 'name' || n === 'path' ? [`${n}Hex`, hex] : [n, e]));
const KINDS = {
  STARTED: [1, [['pid', u32]]],
  EXITED: [2, [['exitCode', i32], ['signal', i32], ['coreDumped', u8]]],
  PROCESS: [3, [['pid', u32], ['running', u8], ['flags', u8], [null, zero16], ['startTimeMs', i64], ['exitCode', i32], ['signal', i32], ['tag', str], ['user', str], ['cwd', str], ['argv', strs]]],
  ENTRY: [16, ENTRY],
  XATTR: [17, [['name', str], ['valueHex', hex]]],
  WATCHING: [18, []],
  CHANGED: [19, [['kind', u8], ['name', str]]],
  CONNECTED: [32, []],
  METRICS: [54, ['uptimeMs', 'cpuCount', 'cpuBusyMs', 'cpuIdleMs', 'memoryTotal', 'memoryAvailable', 'memoryCached', 'swapUsed', 'diskTotal', 'diskUsed', 'diskAvailable', 'processes'].map((n) => [n, u64])],
  HELD: [58, [['held', u8]]],
  INFO: [56, [['protocolVersion', u32], ['agentVersion', str], ['kernelRelease', str], ['bootId', str], ['hostname', str], ['bootTimeMs', i64], ['rootMounted', u8]]],
};

const CODES = ['ok', 'invalid_argument', 'not_found', 'already_exists', 'permission_denied', 'not_directory', 'is_directory', 'not_empty', 'no_space', 'unknown_user', 'no_such_process', 'cancelled', 'unsupported', 'failed_precondition', 'resource_exhausted', 'io_error', 'connection_refused', 'cwd_not_found', 'command_not_found', 'timed_out', 'symlink_loop', 'read_only'];
const TYPES = { OPEN: 1, DATA: 2, MESSAGE: 3, CREDIT: 4, END: 5, CLOSE: 6, PING: 7, PONG: 8 };

const rawFrame = ({ length, stream, type, channel = 0, reserved = 0, payload, epoch = EPOCH }) =>
  Buffer.concat([u32(length ?? payload.length), u32(stream), u8(type), u8(channel), u16(reserved), payload, u32(epoch)]);
const encodeFields = (spec, values) => Buffer.concat(spec.map(([n, e]) => e(n === null ? undefined : values[n])));

const vectors = [];
const add = (v) => vectors.push(v);
const frame = (name, direction, typeName, stream, payload, rest, channel = 0) =>
  add({ name, what: 'frame', direction, frame: { stream, type: TYPES[typeName], typeName, channel, epoch: EPOCH, payloadLength: payload.length }, ...rest, hex: rawFrame({ stream, type: TYPES[typeName], channel, payload }).toString('hex') });

const open = (name, stream, op, credit, args) => {
  const [code, spec] = OPS[op];
  frame(name, 'host-to-guest', 'OPEN', stream, Buffer.concat([u16(code), u16(0), u32(credit), encodeFields(spec, args)]), { op, opCode: code, credit, args });
};
const message = (name, stream, kind, fields, spec = KINDS[kind][1]) => {
  const code = KINDS[kind][0];
  frame(name, 'guest-to-host', 'MESSAGE', stream, Buffer.concat([u16(code), u16(0), encodeFields(spec, fields)]), { kind, kindCode: code, fields });
};
const guestClose = (name, stream, code, errno, text) =>
  frame(name, 'guest-to-host', 'CLOSE', stream, Buffer.concat([u16(CODES.indexOf(code)), u16(0), i32(errno), str(text)]), { result: { code, codeNumber: CODES.indexOf(code), errno, message: text } });

const hello = (version, epoch, max) => Buffer.concat([Buffer.from(HELLO_MAGIC, 'hex'), u32(version), u32(epoch), u32(max), u32(0)]).toString('hex');
const welcome = (version, epoch, max) => Buffer.concat([Buffer.from(WELCOME_MAGIC, 'hex'), u32(version), u32(epoch), u32(max), u32(0)]).toString('hex');

add({ name: 'hello', what: 'hello', direction: 'host-to-guest', fields: { version: 1, epoch: EPOCH, maxPayload: 262144 }, hex: hello(1, EPOCH, 262144) });
add({ name: 'welcome', what: 'welcome', direction: 'guest-to-host', fields: { version: 1, epoch: EPOCH, maxPayload: 262144 }, hex: welcome(1, EPOCH, 262144) });

open('open process-start minimal', 1, 'PROCESS_START', 262144, { flags: 0, cols: 0, rows: 0, ringBytes: 0, user: '', cwd: '', tag: '', argv: ['true'], env: [] });
open('open process-start pty', 2, 'PROCESS_START', 1048576, { flags: 3, cols: 80, rows: 24, ringBytes: 65536, user: 'user', cwd: '/home/user', tag: 'shell-1', argv: ['/bin/bash', '-i', '-l'], env: ['LANG=C.UTF-8', 'GREETING=grüß dich'] });
open('open process-attach', 3, 'PROCESS_ATTACH', 262144, { pid: 4242, backlog: 1 });
open('open process-list', 4, 'PROCESS_LIST', 65536, {});
open('open process-signal', 5, 'PROCESS_SIGNAL', 0, { pid: 4242, signal: 15 });
open('open process-resize', 6, 'PROCESS_RESIZE', 0, { pid: 4242, cols: 132, rows: 43 });
open('open process-input', 7, 'PROCESS_INPUT', 0, { pid: 4242, close: 1 });
open('open file-read to the end', 16, 'FILE_READ', 262144, { user: 'user', path: '~/notes.txt', offset: '0', length: '18446744073709551615' });
open('open file-read range', 17, 'FILE_READ', 4096, { user: '', path: '/var/log/messages', offset: '4294967296', length: '1024' });
open('open file-write', 18, 'FILE_WRITE', 1024, { user: '1000', path: 'sub/dir/ünïcode', flags: 1, mode: 0o600, offset: '0' });
open('open file-write at offset', 19, 'FILE_WRITE', 1024, { user: '', path: '/data', flags: 4, mode: 0, offset: '9007199254740993' });
open('open file-stat', 20, 'FILE_STAT', 16384, { user: '', path: '/etc/passwd' });
open('open dir-list', 21, 'DIR_LIST', 262144, { user: '', path: '/home', depth: 3 });
open('open dir-make', 22, 'DIR_MAKE', 16384, { user: 'user', path: 'a/b/c', mode: 0o700, parents: 1 });
open('open file-rename', 23, 'FILE_RENAME', 16384, { user: '', from: '/tmp/a', to: '/tmp/b/c' });
open('open file-remove', 24, 'FILE_REMOVE', 0, { user: '', path: '/tmp/tree', recursive: 1 });
open('open file-chmod', 25, 'FILE_CHMOD', 16384, { user: '', path: '/tmp/a', mode: 0o4755 });
open('open file-chown', 26, 'FILE_CHOWN', 16384, { user: '', path: '/srv', owner: 'user', group: '', recursive: 1 });
open('open file-symlink', 27, 'FILE_SYMLINK', 16384, { user: '', target: '../x', path: '/tmp/link' });
open('open xattr-get', 28, 'XATTR_GET', 65536, { user: '', path: '/tmp/a' });
open('open xattr-set', 29, 'XATTR_SET', 0, { user: '', path: '/tmp/a', name: 'user.e2b.kind', remove: 0, valueHex: '00ff7f' });
open('open xattr-set remove', 30, 'XATTR_SET', 0, { user: '', path: '/tmp/a', name: 'user.e2b.kind', remove: 1, valueHex: '' });
open('open dir-watch', 31, 'DIR_WATCH', 65536, { user: 'user', path: '.', recursive: 1 });
open('open dial', 32, 'DIAL', 262144, { port: 8080, host: '', timeoutMs: 0 });
open('open dial by name', 33, 'DIAL', 262144, { port: 65535, host: 'example.internal', timeoutMs: 1500 });
open('open configure', 48, 'CONFIGURE', 0, { hostname: 'sandbox-1', defaultUser: 'user', defaultWorkdir: '/home/user', replaceEnv: 1, env: ['A=1', 'EMPTY='] });
open('open clock-set', 49, 'CLOCK_SET', 0, { seconds: '1795305600', nanoseconds: 999999999 });
open('open clock-set before 1970', 50, 'CLOCK_SET', 0, { seconds: '-1', nanoseconds: 0 });
open('open entropy-add', 51, 'ENTROPY_ADD', 0, { bytesHex: '000102030405060708090a0b0c0d0e0ff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff', reseed: 1 });
open('open sync', 52, 'SYNC', 0, {});
open('open freeze', 53, 'FREEZE', 0, {});
open('open thaw', 54, 'THAW', 0, {});
open('open metrics', 55, 'METRICS', 4096, {});
open('open shutdown', 56, 'SHUTDOWN', 0, { kind: 0, graceMs: 2000 });
open('open info', 57, 'INFO', 4096, {});
open('open network', 58, 'NETWORK', 0, { interface: '', address: '10.0.2.15/24', gateway: '10.0.2.2', nameServer: '10.0.2.3' });
open('open network down', 59, 'NETWORK', 0, { interface: 'eth0', address: '', gateway: '', nameServer: '' });
open('open hold', 60, 'HOLD', 4096, { timeoutMs: 2000 });
open('open wake', 61, 'WAKE', 0, { seconds: '1795305600', nanoseconds: 999999999, entropyHex: '00112233445566778899aabbccddeeff', machineId: '' });
open('open wake as another', 62, 'WAKE', 0, { seconds: '-1', nanoseconds: 0, entropyHex: '00112233445566778899aabbccddeeff', machineId: '0123456789abcdef0123456789abcdef' });

message('message started', 1, 'STARTED', { pid: 4242 });
message('message exited with a code', 1, 'EXITED', { exitCode: 3, signal: 0, coreDumped: 0 });
message('message exited by a signal', 1, 'EXITED', { exitCode: -1, signal: 11, coreDumped: 1 });
message('message process running', 4, 'PROCESS', { pid: 4242, running: 1, flags: 3, startTimeMs: '1795305600123', exitCode: 0, signal: 0, tag: 'shell-1', user: 'user', cwd: '/home/user', argv: ['/bin/bash', '-i', '-l'] });
message('message process ended', 4, 'PROCESS', { pid: 77, running: 0, flags: 0, startTimeMs: '1795305600123', exitCode: -1, signal: 9, tag: '', user: 'root', cwd: '/', argv: ['sleep', '100'] });
message('message entry of a file', 16, 'ENTRY', { type: 1, targetType: 1, mode: 0o644, uid: 1000, gid: 1000, size: '4294967297', modifiedSeconds: '1795305600', modifiedNanoseconds: 123456789, name: 'notes.txt', path: '/home/user/notes.txt', owner: 'user', group: 'user', symlinkTarget: '' });
message('message entry of a symlink', 21, 'ENTRY', { type: 3, targetType: 2, mode: 0o755, uid: 0, gid: 0, size: '3', modifiedSeconds: '-1', modifiedNanoseconds: 0, name: 'bin', path: '/bin', owner: 'root', group: 'root', symlinkTarget: '/usr/bin' });
message('message entry of a broken symlink', 21, 'ENTRY', { type: 3, targetType: 0, mode: 0o777, uid: 4711, gid: 4712, size: '7', modifiedSeconds: '0', modifiedNanoseconds: 0, name: 'gone', path: '/tmp/gone', owner: '4711', group: '4712', symlinkTarget: 'nowhere' });
message('message entry with a name that is not UTF-8', 21, 'ENTRY', { type: 1, targetType: 1, mode: 0o600, uid: 0, gid: 0, size: '0', modifiedSeconds: '0', modifiedNanoseconds: 0, nameHex: 'ff62', pathHex: '2f746d702fff62', owner: 'root', group: 'root', symlinkTarget: '' }, ENTRY_HEX);
message('message xattr', 28, 'XATTR', { name: 'user.e2b.kind', valueHex: '00ff7f' });
message('message watching', 31, 'WATCHING', {});
message('message changed', 31, 'CHANGED', { kind: 1, name: 'sub/new file' });
message('message changed overflow', 31, 'CHANGED', { kind: 6, name: '' });
message('message connected', 32, 'CONNECTED', {});
message('message metrics', 55, 'METRICS', { uptimeMs: '61000', cpuCount: '2', cpuBusyMs: '1500', cpuIdleMs: '120000', memoryTotal: '536870912', memoryAvailable: '402653184', memoryCached: '67108864', swapUsed: '0', diskTotal: '9007199254740993', diskUsed: '1073741824', diskAvailable: '9007198180999169', processes: '3' });
message('message held', 60, 'HELD', { held: 1 });
message('message info', 57, 'INFO', { protocolVersion: 1, agentVersion: '0.1.0', kernelRelease: '6.1.0-56-cloud-amd64', bootId: '3c9c5a4e-6d0c-4a7e-9b6f-0d8a7b1c2e3f', hostname: 'sandbox-1', bootTimeMs: '1795305600123', rootMounted: 1 });

frame('data from the host', 'host-to-guest', 'DATA', 18, Buffer.from('hello\n'), { payload: 'hello\n' });
frame('data stdout', 'guest-to-host', 'DATA', 1, Buffer.from('out\n'), { payload: 'out\n' }, 1);
frame('data stderr, half a UTF-8 character', 'guest-to-host', 'DATA', 1, Buffer.from('c3', 'hex'), { payloadHex: 'c3' }, 2);
frame('data terminal', 'guest-to-host', 'DATA', 2, Buffer.from('\u001b[0m$ '), { payload: '\u001b[0m$ ' }, 3);
frame('data of a file', 'guest-to-host', 'DATA', 16, Buffer.from('00ff', 'hex'), { payloadHex: '00ff' }, 0);
frame('credit from the host', 'host-to-guest', 'CREDIT', 1, u32(131072), { credit: 131072 });
frame('credit from the guest', 'guest-to-host', 'CREDIT', 18, u32(65536), { credit: 65536 });
frame('end from the host', 'host-to-guest', 'END', 18, Buffer.alloc(0), {});
frame('end from the guest', 'guest-to-host', 'END', 16, Buffer.alloc(0), {});
frame('close from the host', 'host-to-guest', 'CLOSE', 1, Buffer.alloc(0), {});
guestClose('close ok', 1, 'ok', 0, '');
guestClose('close ok with warnings', 41, 'ok', 0, '/etc/hostname: Is a directory\n/etc/hosts: Read-only file system');
guestClose('close not_found', 20, 'not_found', 2, '/etc/nothing: No such file or directory');
guestClose('close no_space', 18, 'no_space', 28, '/data: No space left on device');
guestClose('close unknown_user', 2, 'unknown_user', 0, "invalid username: 'nobody-here'");
guestClose('close cwd_not_found', 2, 'cwd_not_found', 2, "cwd '/nope' does not exist");
guestClose('close cancelled', 31, 'cancelled', 0, 'cancelled');
guestClose('close read_only', 18, 'read_only', 30, '/proc/x: Read-only file system');
frame('ping', 'host-to-guest', 'PING', 0, Buffer.from('0011223344556677', 'hex'), { payloadHex: '0011223344556677' });
frame('ping from the guest, empty', 'guest-to-host', 'PING', 0, Buffer.alloc(0), { payloadHex: '' });
frame('pong', 'guest-to-host', 'PONG', 0, Buffer.from('0011223344556677', 'hex'), { payloadHex: '0011223344556677' });

// Malformed input of the guest. `hex` follows a completed greeting with EPOCH.
// verdict "hunt": the guest drops the session and hunts for a HELLO;
// verdict "close": the session lives, the stream is answered by CLOSE with `code`;
// verdict "ignore": nothing happens.
const bad = (name, verdict, buffer, rest = {}) => add({ name, what: 'malformed', direction: 'host-to-guest', verdict, ...rest, hex: buffer.toString('hex') });
const openRaw = (op, args, stream = 1) => rawFrame({ stream, type: 1, payload: Buffer.concat([u16(op), u16(0), u32(1024), args]) });
bad('length above the limit', 'hunt', rawFrame({ length: 262145, stream: 1, type: 1, payload: Buffer.alloc(0) }));
bad('padding', 'hunt', Buffer.alloc(64, 0xff));
bad('wrong trailer', 'hunt', rawFrame({ stream: 0, type: 7, payload: Buffer.alloc(0), epoch: EPOCH ^ 1 }));
bad('type 0', 'hunt', rawFrame({ stream: 1, type: 0, payload: Buffer.alloc(0) }));
bad('type 9', 'hunt', rawFrame({ stream: 1, type: 9, payload: Buffer.alloc(0) }));
bad('reserved header field not 0', 'hunt', rawFrame({ stream: 0, type: 7, reserved: 1, payload: Buffer.alloc(0) }));
bad('channel on a frame that is not DATA', 'hunt', rawFrame({ stream: 0, type: 7, channel: 1, payload: Buffer.alloc(0) }));
bad('MESSAGE from the host', 'hunt', rawFrame({ stream: 1, type: 3, payload: Buffer.alloc(4) }));
bad('OPEN on stream 0', 'hunt', rawFrame({ stream: 0, type: 1, payload: Buffer.concat([u16(56), u16(0), u32(0)]) }));
bad('OPEN shorter than its header', 'hunt', rawFrame({ stream: 1, type: 1, payload: Buffer.alloc(7) }));
bad('OPEN of a stream number used before', 'hunt', Buffer.concat([openRaw(51, Buffer.alloc(0), 5), openRaw(51, Buffer.alloc(0), 5)]));
bad('DATA on a stream never opened', 'hunt', rawFrame({ stream: 9, type: 2, payload: Buffer.from('x') }));
bad('DATA longer than 32,768 bytes', 'hunt', Buffer.concat([openRaw(28, Buffer.concat([str(''), str('/'), u8(0)])), rawFrame({ length: 32769, stream: 1, type: 2, payload: Buffer.alloc(0) })]));
bad('CREDIT of the wrong size', 'hunt', Buffer.concat([openRaw(28, Buffer.concat([str(''), str('/'), u8(0)])), rawFrame({ stream: 1, type: 4, payload: Buffer.alloc(3) })]));
bad('END with a payload', 'hunt', Buffer.concat([openRaw(28, Buffer.concat([str(''), str('/'), u8(0)])), rawFrame({ stream: 1, type: 5, payload: Buffer.alloc(1) })]));
bad('host CLOSE with a payload', 'hunt', Buffer.concat([openRaw(28, Buffer.concat([str(''), str('/'), u8(0)])), rawFrame({ stream: 1, type: 6, payload: Buffer.alloc(1) })]));
bad('PING of 65 bytes', 'hunt', rawFrame({ stream: 0, type: 7, payload: Buffer.alloc(65) }));
bad('PING on a stream', 'hunt', rawFrame({ stream: 1, type: 7, payload: Buffer.alloc(0) }));
bad('unknown operation', 'close', openRaw(999, Buffer.alloc(0)), { stream: 1, code: 'unsupported' });
bad('arguments cut short', 'close', openRaw(18, Buffer.concat([str('root'), u32(10), Buffer.from('/etc')])), { stream: 1, code: 'invalid_argument' });
bad('string length beyond the frame', 'close', openRaw(18, Buffer.concat([u32(0xffffffff), Buffer.from('root')])), { stream: 1, code: 'invalid_argument' });
bad('bytes after the arguments', 'close', openRaw(56, Buffer.from([0])), { stream: 1, code: 'invalid_argument' });
bad('path with a NUL', 'close', openRaw(18, Buffer.concat([str(''), str('/etc\0x')])), { stream: 1, code: 'invalid_argument' });
bad('path of 4,097 bytes', 'close', openRaw(18, Buffer.concat([str(''), str('/'.repeat(4097))])), { stream: 1, code: 'invalid_argument' });
bad('argument count beyond the frame', 'close', openRaw(1, Buffer.concat([u32(0), u16(0), u16(0), u32(0), str(''), str(''), str(''), u32(0xffffffff)])), { stream: 1, code: 'invalid_argument' });
bad('no arguments at all', 'close', openRaw(1, Buffer.concat([u32(0), u16(0), u16(0), u32(0), str(''), str(''), str(''), u32(0), u32(0)])), { stream: 1, code: 'invalid_argument' });
bad('frames for a stream that is closed', 'ignore', Buffer.concat([openRaw(999, Buffer.alloc(0)), rawFrame({ stream: 1, type: 4, payload: u32(1) }), rawFrame({ stream: 1, type: 6, payload: Buffer.alloc(0) })]));

// Malformed greetings, sent to a guest that hunts. verdict "silence": no WELCOME.
// verdict "welcome": the guest answers the given hex; `speaks` tells whether frames follow.
const greet = (name, verdict, h, rest = {}) => add({ name, what: 'greeting', direction: 'host-to-guest', verdict, ...rest, hex: h });
greet('greeting after noise and half a magic', 'welcome', `00ff${HELLO_MAGIC.slice(0, 20)}${hello(1, EPOCH, 262144)}`, { speaks: true, answerHex: welcome(1, EPOCH, 262144) });
greet('greeting of version 2', 'welcome', hello(2, EPOCH, 262144), { speaks: false, answerHex: welcome(1, EPOCH, 262144) });
greet('greeting with epoch 0', 'silence', hello(1, 0, 262144));
greet('greeting with epoch 0xffffffff', 'silence', hello(1, 0xffffffff, 262144));
greet('greeting with a wrong last magic byte', 'silence', hello(1, EPOCH, 262144).replace('0d0a1a', '0d0a1b'));

const file = {
  about: 'Examples of guest/PROTOCOL.md, version 1; written by guest/vectors/generate.mjs. u64 and i64 are decimal strings; keys that end in Hex are byte strings in hex; flags and modes are numbers.',
  epoch: EPOCH,
  limits: { maxPayload: 262144, maxDataToHost: 65536, maxDataToGuest: 32768, initialCreditToGuest: 262144, maxStreams: 1024, maxPing: 64, maxPath: 4096, attachPadding: 262160 },
  frameTypes: TYPES,
  operations: Object.fromEntries(Object.entries(OPS).map(([n, [c]]) => [n, c])),
  messages: Object.fromEntries(Object.entries(KINDS).map(([n, [c]]) => [n, c])),
  resultCodes: Object.fromEntries(CODES.map((n, i) => [n, i])),
  vectors,
};
const names = new Set(vectors.map((v) => v.name));
if (names.size !== vectors.length) throw new Error('two vectors share a name');
const text = `${JSON.stringify(file, null, 2)}\n`;
const target = new URL('./frames.json', import.meta.url);
if (process.argv.includes('--check')) {
  if (readFileSync(target, 'utf8') !== text) {
    console.error('vectors/frames.json is out of date: run node guest/vectors/generate.mjs');
    process.exit(1);
  }
} else {
  writeFileSync(target, text);
}
