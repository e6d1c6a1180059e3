// Drives the agent's --socket mode, operation by operation. AGENT= names the binary.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, test as nodeTest } from 'node:test';
import { startAgent } from './agent.mjs';
import {
  ALL,
  decodeEntry,
  Fields,
  Host,
  i32,
  i64,
  OP,
  run,
  startArgs,
  str,
  strs,
  u8,
  u16,
  u32,
  u64,
} from './host.mjs';

const AGENT = process.env.AGENT ?? new URL('../build/dormouse-guest', import.meta.url).pathname;
const ROOT = process.getuid() === 0;
/** A lost wake-up must fail, not hang. */
const test = (name, options, body) =>
  body ? nodeTest(name, { timeout: 20_000, ...options }, body) : nodeTest(name, { timeout: 20_000 }, options);

let directory;
let running;
let socket;
let host;

before(async () => {
  running = await startAgent(AGENT);
  ({ directory, socket, host } = running);
});
after(() => running.stop(host));

const at = (...names) => path.join(directory, ...names);
const pidOf = (stream) => new Fields(stream.messages[0].body).u32();
const exitOf = (message) => {
  const f = new Fields(message.body);
  return { code: f.i32(), signal: f.i32(), core: f.u8() };
};
const entryOf = (stream) => decodeEntry(stream.messages[0].body);
const failure = async (op, args) => {
  const s = host.open(op, args);
  const { code, errno, message } = await s.closed;
  return { code, errno, message };
};
async function put(name, content, { flags = 0, mode = 0, offset = 0 } = {}) {
  const stream = host.open(OP.FILE_WRITE, [str(''), str(name), u32(flags), u32(mode), u64(offset)]);
  await stream.write(Buffer.from(content));
  stream.end();
  await stream.closed;
  return stream;
}

test('PING is answered with the same bytes', async () => {
  assert.deepEqual(await host.ping(Buffer.from([0, 1, 255])), Buffer.from([0, 1, 255]));
});

test('a program runs: arguments, environment, exit code, both channels', async () => {
  const result = await run(host, {
    argv: ['/bin/sh', '-c', 'echo "$1-$X"; echo err >&2; exit 7', 'sh', 'one'],
    env: ['X=ü'],
  });
  assert.deepEqual(
    [result.stdout, result.stderr, result.code, result.signal],
    [Buffer.from('one-ü\n').toString('latin1'), 'err\n', 7, 0],
  );
});

test('the environment is complete and later values win', async () => {
  await host.call(OP.CONFIGURE, [str(''), str(''), str(''), u8(1), strs(['A=sandbox', 'B=sandbox'])]);
  await host.call(OP.CONFIGURE, [str(''), str(''), str(''), u8(0), strs(['B=merged'])]);
  const { stdout } = await run(host, { argv: ['env'], env: ['A=request'], user: 'root' });
  const lines = stdout.trim().split('\n').sort();
  assert.deepEqual(
    lines.filter((l) => /^(A|B|HOME|USER|LOGNAME|PATH)=/.test(l)),
    [
      'A=request',
      'B=merged',
      'HOME=/root',
      'LOGNAME=root',
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      'USER=root',
    ],
  );
  await host.call(OP.CONFIGURE, [str(''), str(''), str(''), u8(1), strs([])]);
});

test('a large environment delays nobody', async () => {
  const began = Date.now();
  for (let part = 0; part < 5; part++) {
    const list = Array.from({ length: 20_000 }, (_, i) => `${part}${i.toString(36)}=`);
    await host.call(OP.CONFIGURE, [str(''), str(''), str(''), u8(part === 0 ? 1 : 0), strs(list)]);
  }
  assert.ok(Date.now() - began < 8_000, `it took ${Date.now() - began} ms`);
  await host.call(OP.CONFIGURE, [str(''), str(''), str(''), u8(1), strs([])]);
});

test('a program begins with no signal ignored or blocked', async () => {
  const { stdout } = await run(host, { argv: ['grep', '^Sig[BI]', '/proc/self/status'] });
  assert.equal(stdout, ['SigBlk', 'SigIgn'].map((name) => `${name}:\t0000000000000000\n`).join(''));
});

test('standard input: bytes, then its end', async () => {
  const input = Buffer.alloc(700_000, 'abc');
  const result = await run(host, { flags: 2, argv: ['wc', '-c'], input });
  assert.equal(result.stdout.trim(), '700000');
});

test('without the flag standard input is /dev/null', async () => {
  assert.equal((await run(host, { argv: ['cat'] })).stdout, '');
});

test('a terminal has its size, its name and an end-of-file character', async () => {
  const stream = host.open(
    OP.PROCESS_START,
    startArgs({
      flags: 1,
      cols: 91,
      rows: 17,
      argv: ['/bin/sh', '-c', 'stty size; read x; stty size; cat; echo bye'],
    }),
  );
  await stream.message();
  await stream.until(() => stream.text(3).includes('17 91'));
  await host.call(OP.PROCESS_RESIZE, [u32(pidOf(stream)), u16(40), u16(20)]);
  await stream.write(Buffer.from('go\n'));
  await stream.until(() => stream.text(3).includes('20 40'));
  stream.end();
  await stream.closed;
  assert.match(stream.text(3), /bye\r\n$/);
  assert.deepEqual(exitOf(stream.messages[1]), { code: 0, signal: 0, core: 0 });
});

test('failed starts say why and leave no process', async () => {
  const start = (o) => failure(OP.PROCESS_START, startArgs(o));
  assert.deepEqual(await start({ argv: ['no-such-command'] }), {
    code: 'command_not_found',
    errno: 2,
    message: 'no-such-command: command not found',
  });
  assert.deepEqual(await start({ argv: ['true'], cwd: '/no/such' }), {
    code: 'cwd_not_found',
    errno: 2,
    message: "cwd '/no/such' does not exist",
  });
  assert.deepEqual(await start({ argv: ['true'], user: 'no-such-user' }), {
    code: 'unknown_user',
    errno: 0,
    message: "invalid username: 'no-such-user'",
  });
  assert.equal((await start({ argv: ['/etc/passwd'] })).code, 'permission_denied');
  assert.equal((await start({ argv: ['true'], env: ['NOEQUALS'] })).code, 'invalid_argument');
});

test('signals reach the group; the end by a signal is told', async () => {
  const stream = host.open(OP.PROCESS_START, startArgs({ argv: ['/bin/sh', '-c', 'sleep 100; echo never'] }));
  await stream.message();
  await host.call(OP.PROCESS_SIGNAL, [u32(pidOf(stream)), i32(15)]);
  await stream.closed;
  assert.deepEqual(exitOf(stream.messages[1]), { code: -1, signal: 15, core: 0 });
  assert.equal((await failure(OP.PROCESS_SIGNAL, [u32(pidOf(stream)), i32(15)])).code, 'no_such_process');
  assert.equal((await failure(OP.PROCESS_SIGNAL, [u32(0x7ffffff0), i32(15)])).code, 'no_such_process');
});

test('a process outlives its stream; attach with and without backlog', async () => {
  const stream = host.open(
    OP.PROCESS_START,
    startArgs({
      flags: 2,
      tag: 'mine',
      argv: ['/bin/sh', '-c', 'echo first; read x; echo "second $x"; read y; exit 4'],
    }),
  );
  await stream.message();
  const pid = pidOf(stream);
  await stream.until(() => stream.text(1) === 'first\n');
  stream.cancel();
  assert.equal((await stream.closed).code, 'cancelled');
  const all = host.open(OP.PROCESS_ATTACH, [u32(pid), u8(1)]);
  const live = host.open(OP.PROCESS_ATTACH, [u32(pid), u8(0)]);
  await live.message();
  const list = await host.call(OP.PROCESS_LIST);
  const mine = list.messages
    .map((m) => {
      const f = new Fields(m.body);
      return {
        pid: f.u32(),
        running: f.u8(),
        flags: f.u8(),
        zero: f.u16(),
        start: f.i64(),
        code: f.i32(),
        signal: f.i32(),
        tag: f.str(),
        user: f.str(),
        cwd: f.str(),
        argc: f.u32(),
        argv0: f.str(),
      };
    })
    .find((p) => p.pid === pid);
  assert.deepEqual(
    [mine.running, mine.flags, mine.tag, mine.user, mine.argc, mine.argv0],
    [1, 2, 'mine', 'root', 3, '/bin/sh'],
  );
  const input = host.open(OP.PROCESS_INPUT, [u32(pid), u8(0)]);
  await input.write(Buffer.from('line\n'));
  input.end();
  assert.equal((await input.closed).code, 'ok');
  await live.until(() => live.text(1) === 'second line\n');
  const close = host.open(OP.PROCESS_INPUT, [u32(pid), u8(1)]);
  close.end();
  assert.equal((await close.closed).code, 'ok');
  await all.closed;
  await live.closed;
  assert.equal(all.text(1), 'first\nsecond line\n');
  assert.equal(live.text(1), 'second line\n');
  assert.deepEqual(exitOf(live.messages[1]), { code: 4, signal: 0, core: 0 });
  assert.equal((await failure(OP.PROCESS_INPUT, [u32(pid), u8(0)])).code, 'failed_precondition');
  assert.equal((await failure(OP.PROCESS_RESIZE, [u32(pid), u16(1), u16(1)])).code, 'failed_precondition');
  const late = await host.call(OP.PROCESS_ATTACH, [u32(pid), u8(1)]);
  assert.equal(late.text(1), 'first\nsecond line\n');
});

test('every packet of a pipe in packet mode arrives, and its end', async () => {
  const program = at('packets');
  fs.copyFileSync(new URL('../build/test/child', import.meta.url).pathname, program);
  let expected = '';
  for (let i = 0; i < 300; i++) expected += String.fromCharCode(97 + (i % 26)).repeat([1, 1000, 4096][i % 3]);
  for (const ring of [0, 4096, 5000]) {
    const result = await run(host, { argv: [program], ring });
    assert.equal(result.code, 6);
    assert.ok(result.stdout === expected, `${result.stdout.length} bytes of ${expected.length}`);
  }
});

test('a program that was just written runs while others are started', async () => {
  const program = at('written');
  const other = async () => {
    while (!done) await run(host, { argv: ['/bin/true'] });
  };
  let done = false;
  const others = Array.from({ length: 8 }, other);
  for (let i = 0; i < 300; i++) {
    await put(program, `#!/bin/sh\nexit ${i % 200}\n`, { mode: 0o755 });
    assert.equal((await run(host, { argv: [program] })).code, i % 200);
  }
  done = true;
  await Promise.all(others);
});

test('EXITED does not wait for others that hold the pipes', async () => {
  const started = Date.now();
  const result = await run(host, { argv: ['/bin/sh', '-c', 'echo out; sleep 3 &'] });
  assert.equal(result.stdout, 'out\n');
  assert.ok(Date.now() - started < 2500);
});

test('many processes that end at once lose neither output nor exit status', async () => {
  const streams = Array.from({ length: 100 }, (_, i) =>
    host.open(
      OP.PROCESS_START,
      startArgs({
        argv: ['/bin/sh', '-c', `until [ -e ${at('go')} ]; do sleep 0.02; done; echo ${i}; exit ${i}`],
      }),
    ),
  );
  for (const stream of streams) await stream.message();
  const pids = streams.map(pidOf);
  /* The agent learns of all of them in one turn. */
  process.kill(running.pid, 'SIGSTOP');
  try {
    fs.writeFileSync(at('go'), '');
    for (const pid of pids)
      while (!/\) Z /.test(fs.readFileSync(`/proc/${pid}/stat`, 'utf8')))
        await new Promise((r) => setTimeout(r, 10));
  } finally {
    process.kill(running.pid, 'SIGCONT');
  }
  for (const [i, stream] of streams.entries()) {
    assert.equal((await stream.closed).code, 'ok');
    assert.equal(stream.text(1), `${i}\n`);
    assert.deepEqual(exitOf(stream.messages[1]), { code: i, signal: 0, core: 0 });
  }
  /* Those beyond the limit go in a turn of their own. */
  let known = 0;
  for (let i = 0; i < 50 && known !== 64; i++) known = (await host.call(OP.PROCESS_LIST)).messages.length;
  assert.equal(known, 64);
});

test('a session that ends leaves its processes; a new one attaches', async () => {
  const stream = host.open(
    OP.PROCESS_START,
    startArgs({ flags: 2, argv: ['/bin/sh', '-c', 'echo before; read x; echo after'] }),
  );
  await stream.until(() => stream.text(1) === 'before\n');
  const pid = pidOf(stream);
  await host.greet({ padding: true });
  const again = host.open(OP.PROCESS_ATTACH, [u32(pid), u8(1)]);
  const input = host.open(OP.PROCESS_INPUT, [u32(pid), u8(1)]);
  await input.write(Buffer.from('x\n'));
  input.end();
  await again.closed;
  assert.equal(again.text(1), 'before\nafter\n');
});

test('output waits for credit, and a flood delays nobody (hazard 12)', async () => {
  const flood = host.open(
    OP.PROCESS_START,
    startArgs({ argv: ['/bin/sh', '-c', 'head -c 3000000 /dev/zero'] }),
    100_000,
  );
  flood.autoCredit = false;
  await flood.until(() => flood.bytes >= 99_000);
  assert.equal((await run(host, { argv: ['echo', 'quick'] })).stdout, 'quick\n');
  assert.ok(flood.bytes <= 100_000);
  flood.autoCredit = true;
  flood.credit(10_000_000);
  await flood.closed;
  assert.equal(flood.bytes, 3_000_000);
});

test('files: write, read, ranges, append, offset, modes', async () => {
  const name = at('deep', 'er', 'file.bin');
  assert.equal((await put(name, 'x')).result.code, 'not_found');
  const content = Buffer.alloc(1_000_000);
  for (let i = 0; i < content.length; i++) content[i] = (i * 31) & 255;
  const written = await put(name, content, { flags: 1, mode: 0o640 });
  assert.equal(written.result.code, 'ok');
  assert.deepEqual(
    [entryOf(written).size, entryOf(written).mode, entryOf(written).name, entryOf(written).path],
    [1_000_000n, 0o640, 'file.bin', name],
  );
  assert.ok(fs.readFileSync(name).equals(content));
  const read = await host.call(OP.FILE_READ, [str(''), str(name), u64(0), u64(ALL)]);
  assert.ok(Buffer.concat(read.data.map((d) => d.bytes)).equals(content));
  assert.ok(read.ended);
  const range = await host.call(OP.FILE_READ, [str(''), str(name), u64(999_990), u64(5)]);
  assert.ok(Buffer.concat(range.data.map((d) => d.bytes)).equals(content.subarray(999_990, 999_995)));
  await put(name, 'short');
  assert.equal(fs.readFileSync(name, 'utf8'), 'short');
  await put(name, '+', { flags: 2 });
  await put(name, 'H', { flags: 4, offset: 1 });
  assert.equal(fs.readFileSync(name, 'utf8'), 'sHort+');
  assert.equal(fs.statSync(name).mode & 0o777, 0o640);
  assert.equal(
    (await failure(OP.FILE_READ, [str(''), str(at('deep')), u64(0), u64(ALL)])).code,
    'is_directory',
  );
  assert.equal((await failure(OP.FILE_READ, [str(''), str(at('none')), u64(0), u64(ALL)])).code, 'not_found');
  assert.equal((await put(at('deep'), 'x')).result.code, 'is_directory');
  assert.equal((await put('/dev/full', 'x')).result.code, 'no_space');
});

test('FILE_READ sends no more than its credit; a cancel ends it', async () => {
  fs.writeFileSync(at('big'), Buffer.alloc(2_000_000));
  const stream = host.open(OP.FILE_READ, [str(''), str(at('big')), u64(0), u64(ALL)], 70_000);
  stream.autoCredit = false;
  await stream.until(() => stream.window <= 0);
  await host.ping();
  assert.ok(stream.bytes < 70_000);
  stream.cancel();
  assert.equal((await stream.closed).code, 'cancelled');
});

test('directories: make, list, rename, remove', async () => {
  const made = await host.call(OP.DIR_MAKE, [str(''), str(at('tree', 'b', 'c')), u32(0o750), u8(1)]);
  assert.deepEqual([entryOf(made).type, entryOf(made).mode], [2, 0o750]);
  assert.equal(
    (await failure(OP.DIR_MAKE, [str(''), str(at('tree')), u32(0), u8(1)])).code,
    'already_exists',
  );
  fs.writeFileSync(at('tree', 'a'), 'a');
  assert.equal(
    (await failure(OP.DIR_MAKE, [str(''), str(at('tree', 'a')), u32(0), u8(0)])).code,
    'not_directory',
  );
  fs.writeFileSync(at('tree', 'b', 'z'), '');
  fs.symlinkSync('b', at('tree', 'link'));
  fs.symlinkSync('nowhere', at('tree', 'broken'));
  const list = async (depth) =>
    (await host.call(OP.DIR_LIST, [str(''), str(`${directory}//tree/./`), u32(depth)])).messages.map((m) =>
      decodeEntry(m.body),
    );
  assert.deepEqual(
    (await list(0)).map((e) => [e.name, e.type, e.targetType]),
    [
      ['a', 1, 1],
      ['b', 2, 2],
      ['broken', 3, 0],
      ['link', 3, 2],
    ],
  );
  const deep = await list(9);
  assert.deepEqual(
    deep.map((e) => e.path),
    ['a', 'b', 'b/c', 'b/z', 'broken', 'link'].map((n) => at('tree', n)),
  );
  assert.equal(deep[4].target, 'nowhere');
  assert.equal(deep[5].target, fs.realpathSync(at('tree', 'b')));
  assert.equal((await failure(OP.DIR_LIST, [str(''), str(at('tree', 'a')), u32(1)])).code, 'not_directory');
  const renamed = await host.call(OP.FILE_RENAME, [
    str(''),
    str(at('tree', 'a')),
    str(at('tree', 'new', 'a2')),
  ]);
  assert.equal(entryOf(renamed).path, at('tree', 'new', 'a2'));
  assert.equal((await failure(OP.FILE_REMOVE, [str(''), str(at('tree')), u8(0)])).code, 'not_empty');
  fs.mkdirSync(at('kept'));
  fs.writeFileSync(at('kept', 'x'), '');
  fs.symlinkSync(at('kept'), at('tree', 'out'));
  let level = at('tree');
  for (let i = 0; i < 30; i++) {
    level = path.join(level, `level-${i}`);
    fs.mkdirSync(level);
    for (let j = 0; j < 20; j++) fs.writeFileSync(path.join(level, `f${j}`), '');
  }
  const owned = await host.call(OP.FILE_CHOWN, [
    str(''),
    str(at('tree')),
    str(ROOT ? '12345' : ''),
    str(''),
    u8(1),
  ]);
  if (ROOT) {
    assert.equal(entryOf(owned).owner, '12345');
    assert.equal(fs.statSync(path.join(level, 'f3')).uid, 12345);
    assert.equal(fs.statSync(at('tree', 'b', 'z')).uid, 12345);
    assert.equal(fs.statSync(at('kept')).uid, 0);
  }
  await host.call(OP.FILE_REMOVE, [str(''), str(at('tree')), u8(1)]);
  assert.ok(!fs.existsSync(at('tree')));
  assert.ok(fs.existsSync(at('kept', 'x')));
  assert.equal((await failure(OP.FILE_REMOVE, [str(''), str(at('tree')), u8(1)])).code, 'not_found');
  assert.equal((await failure(OP.FILE_REMOVE, [str(''), str('/'), u8(1)])).code, 'invalid_argument');
});

test('mode, owner, links, attributes', async () => {
  fs.writeFileSync(at('f'), '');
  assert.equal(entryOf(await host.call(OP.FILE_CHMOD, [str(''), str(at('f')), u32(0o4711)])).mode, 0o4711);
  const link = entryOf(await host.call(OP.FILE_SYMLINK, [str(''), str('f'), str(at('l'))]));
  assert.deepEqual([link.type, link.targetType, link.target], [3, 1, fs.realpathSync(at('f'))]);
  fs.symlinkSync('loop', at('loop'));
  assert.equal(
    (await failure(OP.FILE_READ, [str(''), str(at('loop')), u64(0), u64(1)])).code,
    'symlink_loop',
  );
  const set = await failure(OP.XATTR_SET, [
    str(''),
    str(at('f')),
    str('user.kind'),
    u8(0),
    str(Buffer.from([0, 255])),
  ]);
  if (set.code !== 'unsupported') {
    assert.equal(set.code, 'ok');
    const f = new Fields((await host.call(OP.XATTR_GET, [str(''), str(at('f'))])).messages[0].body);
    assert.deepEqual([f.str(), f.bytes()], ['user.kind', Buffer.from([0, 255])]);
    await host.call(OP.XATTR_SET, [str(''), str(at('f')), str('user.kind'), u8(1), str('')]);
    assert.equal((await host.call(OP.XATTR_GET, [str(''), str(at('f'))])).messages.length, 0);
  }
  assert.equal((await failure(OP.FILE_STAT, [str('nobody-at-all'), str('x')])).code, 'unknown_user');
  assert.equal(entryOf(await host.call(OP.FILE_STAT, [str('root'), str('~')])).path, '/root');
});

test('what is created belongs to the user', { skip: !ROOT }, async () => {
  fs.chmodSync(directory, 0o755);
  const stream = host.open(OP.FILE_WRITE, [str('4242'), str(at('mine', 'too', 'f')), u32(1), u32(0), u64(0)]);
  stream.end();
  await stream.closed;
  assert.deepEqual(
    [
      fs.statSync(at('mine')).uid,
      fs.statSync(at('mine', 'too')).gid,
      fs.statSync(at('mine', 'too', 'f')).uid,
    ],
    [4242, 4242, 4242],
  );
  const result = await run(host, {
    user: '4242',
    cwd: directory,
    argv: ['/bin/sh', '-c', 'id -u; id -g; pwd; umask'],
  });
  assert.equal(result.stdout, `4242\n4242\n${directory}\n0022\n`);
});

test('only a file that the write has made belongs to the user', { skip: !ROOT }, async () => {
  const write = async (name) => {
    const stream = host.open(OP.FILE_WRITE, [str('4242'), str(at('own', name)), u32(0), u32(0), u64(0)]);
    await stream.write(Buffer.from('new'));
    stream.end();
    return (await stream.closed).code;
  };
  fs.mkdirSync(at('own', 'sub'), { recursive: true });
  fs.writeFileSync(at('own', 'existing'), 'old');
  fs.symlinkSync('existing', at('own', 'to-existing'));
  fs.symlinkSync('sub/made', at('own', 'second'));
  fs.symlinkSync(at('own', 'second'), at('own', 'to-missing'));
  fs.symlinkSync('circle', at('own', 'circle'));
  fs.symlinkSync('none/below', at('own', 'to-nowhere'));
  assert.deepEqual(await Promise.all(['existing', 'to-existing', 'to-missing'].map(write)), [
    'ok',
    'ok',
    'ok',
  ]);
  assert.equal(await write('circle'), 'symlink_loop');
  assert.equal(await write('to-nowhere'), 'not_found');
  assert.deepEqual(
    [fs.statSync(at('own', 'existing')).uid, fs.readFileSync(at('own', 'existing'), 'utf8')],
    [0, 'new'],
  );
  assert.deepEqual(
    [fs.statSync(at('own', 'sub', 'made')).uid, fs.readFileSync(at('own', 'sub', 'made'), 'utf8')],
    [4242, 'new'],
  );
});

test('watching a tree', async () => {
  fs.mkdirSync(at('w', 'sub'), { recursive: true });
  const stream = host.open(OP.DIR_WATCH, [str(''), str(at('w')), u8(1)]);
  const changes = () =>
    stream.messages.slice(1).map((m) => {
      const f = new Fields(m.body);
      return `${f.u8()} ${f.str()}`;
    });
  assert.equal((await stream.message()).kind, 18);
  const seen = async (text) => stream.until(() => changes().includes(text));
  fs.writeFileSync(at('w', 'sub', 'f'), 'x');
  await seen('1 sub/f');
  await seen('2 sub/f');
  fs.chmodSync(at('w', 'sub', 'f'), 0o600);
  await seen('5 sub/f');
  fs.renameSync(at('w', 'sub', 'f'), at('w', 'g'));
  await seen('4 sub/f');
  await seen('1 g');
  fs.mkdirSync(at('w', 'new', 'deep'), { recursive: true });
  fs.writeFileSync(at('w', 'new', 'deep', 'h'), '');
  await seen('1 new/deep/h');
  fs.rmSync(at('w', 'new'), { recursive: true });
  await seen('3 new');
  stream.cancel();
  assert.equal((await stream.closed).code, 'cancelled');
  assert.equal((await failure(OP.DIR_WATCH, [str(''), str(at('none')), u8(0)])).code, 'not_found');
  assert.equal((await failure(OP.DIR_WATCH, [str(''), str(at('w', 'g')), u8(0)])).code, 'not_directory');
});

test('a large directory that comes into a watch waits for its reader', async () => {
  const count = 20_000;
  const name = (i) => `${'n'.repeat(200)}-${i}`;
  fs.mkdirSync(at('outside'));
  fs.mkdirSync(at('watched'));
  for (let i = 0; i < count; i++) fs.closeSync(fs.openSync(at('outside', name(i)), 'w'));
  const resident = () =>
    Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${running.pid}/status`, 'utf8'))[1]);
  const stream = host.open(OP.DIR_WATCH, [str(''), str(at('watched')), u8(1)], 10_000);
  stream.autoCredit = false;
  await stream.message();
  const before = resident();
  fs.renameSync(at('outside'), at('watched', 'inside'));
  await stream.until(() => stream.window <= 0);
  for (let i = 0; i < 20; i++) await host.call(OP.INFO);
  await new Promise((r) => setTimeout(r, 300));
  assert.ok(resident() - before < 3_000, `${resident() - before} KiB for what is not read`);
  stream.autoCredit = true;
  stream.credit(100_000_000);
  await stream.until(() => stream.messages.length === count + 2);
  stream.cancel();
  await stream.closed;
});

test('dialling: bytes both ways, half-close, refusal', async () => {
  const server = net.createServer({ allowHalfOpen: true }, (c) => {
    c.on('data', (b) => c.write(b));
    c.on('end', () => c.end('done'));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  for (const name of ['', '127.0.0.1', 'localhost']) {
    const stream = host.open(OP.DIAL, [u16(port), str(name), u32(0)]);
    const content = Buffer.alloc(500_000, 'dial');
    await stream.write(content);
    stream.end();
    assert.equal((await stream.closed).code, 'ok');
    assert.equal(stream.messages[0].kind, 32);
    assert.ok(stream.ended);
    assert.equal(stream.text(), `${content}done`);
  }
  await new Promise((resolve) => server.close(resolve));
  assert.equal((await failure(OP.DIAL, [u16(port), str(''), u32(0)])).code, 'connection_refused');
  assert.equal((await failure(OP.DIAL, [u16(port), str('no-such-host.invalid'), u32(0)])).code, 'not_found');
});

test('an answer that comes before everything was sent arrives', async () => {
  const answer = 'HTTP/1.1 413 Payload Too Large\r\n\r\n';
  const server = net.createServer((c) => {
    c.on('error', () => {});
    /* Closed with bytes unread, which resets the connection. */
    c.once('data', () => c.pause().write(answer, () => c.destroy()));
  });
  server.unref();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  for (let i = 0; i < 20; i++) {
    /* Room for CONNECTED alone: the answer waits while the writing fails. */
    const stream = host.open(OP.DIAL, [u16(server.address().port), str(''), u32(0)], 4);
    await stream.write(Buffer.alloc(8_000_000));
    stream.end();
    stream.credit(1 << 20);
    const { code } = await stream.closed;
    assert.deepEqual([code, stream.text(), stream.ended], ['ok', answer, true]);
  }
  await new Promise((resolve) => server.close(resolve));
});

test('information and metrics', async () => {
  const f = new Fields((await host.call(OP.INFO)).messages[0].body);
  assert.deepEqual(
    [f.u32(), f.str(), f.str(), f.str(), f.str()],
    [
      1,
      '0.1.0',
      os.release(),
      fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
      os.hostname(),
    ],
  );
  const m = new Fields((await host.call(OP.METRICS)).messages[0].body);
  const values = Array.from({ length: 12 }, () => m.u64());
  m.done();
  assert.equal(values[1], BigInt(os.cpus().length));
  assert.equal(values[4], BigInt(os.totalmem()));
  assert.ok(values[9] + values[10] <= values[8]);
});

test('what would touch the machine is refused outside of one', async () => {
  const code = async (op, args) => (await failure(op, args)).code;
  assert.equal(await code(OP.CLOCK_SET, [i64(0), u32(0)]), 'unsupported');
  assert.equal(await code(OP.FREEZE, []), 'unsupported');
  assert.equal(await code(OP.THAW, []), 'ok');
  assert.equal(await code(OP.SYNC, []), 'ok');
  assert.equal(await code(OP.NETWORK, [str(''), str('10.0.2.15/24'), str(''), str('')]), 'unsupported');
  assert.equal(await code(OP.CONFIGURE, [str('name'), str(''), str(''), u8(0), strs([])]), 'unsupported');
  assert.equal(await code(OP.HOLD, [u32(0)]), 'unsupported');
  assert.equal(await code(OP.HOLD, [u32(60_001)]), 'invalid_argument');
  const wake = (entropy, id) => code(OP.WAKE, [i64(0), u32(0), str(Buffer.alloc(entropy)), str(id)]);
  assert.equal(await wake(16, ''), 'unsupported');
  assert.equal(await wake(15, ''), 'invalid_argument');
  assert.equal(await wake(16, 'G'.repeat(32)), 'invalid_argument');
  assert.equal(await code(OP.ENTROPY_ADD, [str(Buffer.alloc(32)), u8(1)]), 'ok');
  assert.equal(await code(OP.ENTROPY_ADD, [str(Buffer.alloc(15)), u8(1)]), 'invalid_argument');
});

test('more than 1,024 streams are refused one by one', async () => {
  fs.mkdirSync(at('many'), { recursive: true });
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const sleeper = host.open(OP.PROCESS_START, startArgs({ argv: ['sleep', '100'] }));
  await sleeper.message();
  const pid = pidOf(sleeper);
  const streams = Array.from({ length: 1023 }, () => host.open(OP.PROCESS_ATTACH, [u32(pid), u8(0)], 64));
  assert.equal((await host.open(OP.INFO).closed).code, 'resource_exhausted');
  for (const s of streams) s.cancel();
  await Promise.all(streams.map((s) => s.closed));
  await host.call(OP.INFO);
  await host.call(OP.PROCESS_SIGNAL, [u32(pid), i32(9)]);
  await sleeper.closed;
  server.close();
});

test('a new connection takes the place of the old', async () => {
  const second = await Host.connect(socket);
  await second.greet();
  await second.call(OP.INFO);
  assert.ok(host.broken);
  host = second;
});
