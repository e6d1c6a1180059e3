// What the agent does to the machine it is the first process of, in name spaces that stand in for one.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test as nodeTest } from 'node:test';
import { startConfined } from './confined.mjs';
import { decodeEntry, Fields, Host, i32, i64, OP, startArgs, str, strs, u8, u32, u64 } from './host.mjs';

let machine;
let host;

before(async () => {
  machine = await startConfined({ machine: true });
  if (machine) host = await (await Host.connect(machine.socket)).greet();
});
after(async () => {
  if (!machine) return;
  machine.agent.kill('SIGKILL');
  await machine.exited;
  machine.remove();
});

/** A lost wake-up must fail, not hang. */
const test = (name, body) =>
  nodeTest(name, { timeout: 30_000 }, async (t) => (machine ? body(t) : t.skip('needs root')));

/** A test with a file system that answers nothing. */
const testWithMount = (name, body) =>
  test(name, async (t) => (fs.existsSync('/dev/fuse') ? body(t) : t.skip('needs /dev/fuse')));

const inside = (...names) => path.join(machine.root, ...names);
const read = (...names) => fs.readFileSync(inside(...names), 'latin1');
const configure = (name) => host.open(OP.CONFIGURE, [str(name), str(''), str(''), u8(0), strs([])]).closed;
const network = (server) =>
  host.open(OP.NETWORK, [str('lo'), str('127.0.0.1/8'), str(''), str(server)]).closed;
const wake = (id) =>
  host.open(OP.WAKE, [i64(Math.floor(Date.now() / 1000)), u32(0), str(Buffer.alloc(64, 7)), str(id)]).closed;
const ID = '0123456789abcdef'.repeat(2);

/** Covers a directory of the machine with a file system that answers nothing, until the result is called. */
async function deadMount(directory, ...more) {
  fs.mkdirSync(inside(directory), { recursive: true });
  const stream = host.open(
    OP.PROCESS_START,
    startArgs({ flags: 2, argv: ['/bin/dead-mount', `/${directory}`, ...more] }),
  );
  await stream.until(() => stream.text(1) === 'ready');
  return async () => {
    stream.end();
    assert.equal((await stream.closed).code, 'ok');
  };
}

const within = async (promise, ms, what) => {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took more than ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

test('names that are set at the same time leave every line of the hosts file', async () => {
  const lines = '127.0.0.1 localhost\n10.1.1.1 db # dormouse cluster\n10.1.1.2 web\n';
  fs.writeFileSync(inside('etc/hosts'), lines);
  for (let round = 0; round < 100; round++) {
    const results = await Promise.all([configure(`n${round}`), network('10.0.2.3'), configure(`m${round}`)]);
    assert.deepEqual(
      results.map(({ code, message }) => [code, message]),
      Array(3).fill(['ok', '']),
    );
    assert.equal(read('etc/hosts'), `${lines}127.0.1.1 m${round} # dormouse\n`);
    assert.equal(read('etc/hostname'), `m${round}\n`);
  }
  assert.equal(read('etc/resolv.conf'), 'nameserver 10.0.2.3\n');
});

test('files that cannot be written are warnings of CONFIGURE, NETWORK and WAKE', async () => {
  for (const name of ['hosts', 'hostname', 'resolv.conf', 'machine-id']) {
    fs.rmSync(inside('etc', name), { force: true });
    fs.mkdirSync(inside('etc', name));
  }
  assert.deepEqual(await configure('warned'), {
    code: 'ok',
    zero: 0,
    errno: 0,
    message: '/etc/hostname: Is a directory\n/etc/hosts: Is a directory',
  });
  const { code, message } = await network('10.0.2.3');
  assert.equal(code, 'ok');
  assert.match(message, /^\/etc\/resolv.conf: Is a directory$/m);
  const woken = await wake(ID);
  assert.deepEqual([woken.code, woken.message], ['ok', '/etc/machine-id: Is a directory']);
  for (const name of ['hosts', 'hostname', 'resolv.conf', 'machine-id']) fs.rmdirSync(inside('etc', name));
});

testWithMount('a disk that does not answer is a warning too', async () => {
  fs.rmSync(inside('etc/hostname'), { force: true });
  const unmount = await deadMount('etc');
  const [configured, woken] = await Promise.all([configure('late'), wake(ID)]);
  assert.deepEqual(
    [configured.code, configured.message],
    ['ok', '/etc: the disk does not answer, written later'],
  );
  assert.deepEqual([woken.code, woken.message], ['ok', '/etc: the disk does not answer, written later']);
  await unmount();
  /* The blocked write ends with an error; the next one succeeds. */
  assert.deepEqual(await configure('later').then(({ code, message }) => [code, message]), ['ok', '']);
  assert.equal(read('etc/hostname'), 'later\n');
});

test('WAKE renews the machine id and removes the SSH host keys', async () => {
  fs.mkdirSync(inside('etc/ssh'), { recursive: true });
  fs.writeFileSync(inside('etc/ssh/ssh_host_rsa_key'), 'key');
  fs.writeFileSync(inside('etc/ssh/sshd_config'), 'kept');
  const { code, message } = await wake(ID);
  assert.deepEqual([code, message], ['ok', '']);
  assert.equal(read('etc/machine-id'), `${ID}\n`);
  assert.deepEqual(fs.readdirSync(inside('etc/ssh')), ['sshd_config']);
  assert.equal((await wake('')).code, 'ok');
  assert.equal(read('etc/machine-id'), `${ID}\n`);
});

testWithMount(
  'a mount that does not answer delays no restore, and other files for seconds only',
  async () => {
    const stat = (name) => host.open(OP.FILE_STAT, [str(''), str(name)]);
    const unmount = await deadMount('srv/dead');
    const stuck = Array.from({ length: 8 }, () => stat('/srv/dead'));
    const reading = host.open(OP.FILE_READ, [str(''), str('/srv/dead'), u64(0), u64(1)]);
    await host.ping();
    const restore = async () => {
      assert.equal((await configure('restored')).code, 'ok');
      assert.equal((await network('10.0.2.3')).code, 'ok');
      assert.equal((await wake(ID)).code, 'ok');
      assert.equal((await host.open(OP.SYNC).closed).code, 'ok');
    };
    await within(restore(), 4_000, 'what a restore needs');
    await within(stat('/etc').closed, 8_000, 'another file');
    stuck[0].cancel();
    reading.cancel();
    assert.equal((await within(stuck[0].closed, 4_000, 'the answer to a cancellation')).code, 'cancelled');
    assert.equal((await within(reading.closed, 4_000, 'the answer to a cancellation')).code, 'cancelled');
    await unmount();
    for (const stream of stuck.slice(1)) assert.notEqual((await stream.closed).code, 'cancelled');
  },
);

const start = (name, options = {}) =>
  host.open(OP.PROCESS_START, startArgs({ argv: [`/bin/${name}`], ...options }));

testWithMount(
  'starts that are stuck delay no exit, and other starts for seconds only; cancelled ones never run',
  async () => {
    const unmount = await deadMount('srv/dead');
    const running = start('true', { flags: 2 });
    await running.message();
    const stuck = Array.from({ length: 3 }, () => start('true', { cwd: '/srv/dead' }));
    await host.ping();
    /* The agent does not know the orphans that end meanwhile. */
    const storm = await within(start('storm').closed, 15_000, 'a start and its exit');
    assert.equal(storm.code, 'ok');
    running.end();
    assert.equal((await within(running.closed, 3_000, 'the exit of another process')).code, 'ok');
    stuck[0].cancel();
    assert.equal((await within(stuck[0].closed, 4_000, 'the answer to a cancellation')).code, 'cancelled');
    const before = (await host.call(OP.PROCESS_LIST)).messages.length;
    await unmount();
    assert.deepEqual(await Promise.all(stuck.slice(1).map(async (s) => (await s.closed).code)), [
      'io_error',
      'io_error',
    ]);
    assert.equal((await host.call(OP.PROCESS_LIST)).messages.length, before);
  },
);

test('a storm of orphans delays no answer', async () => {
  /* The agent is measured, not how this process fares among the others. */
  os.setPriority(-20);
  const storms = Array.from({ length: 12 }, () => start('storm'));
  let over = false;
  const closed = Promise.all(storms.map((s) => s.closed)).then(() => {
    over = true;
  });
  let slowest = 0;
  while (!over) {
    const began = Date.now();
    await host.ping();
    slowest = Math.max(slowest, Date.now() - began);
    await new Promise((r) => setTimeout(r, 20));
  }
  await closed;
  os.setPriority(0);
  assert.ok(slowest < 3_000, `an answer took ${slowest} ms`);
});

const hold = async () => {
  const stream = host.open(OP.HOLD, [u32(1_000)]);
  const { code } = await stream.closed;
  return code === 'ok' ? stream.messages[0].body[0] : code;
};

/** Files of the workload's group, as programs see them: copied out by a program. */
async function group(file, text) {
  const stream = start('group', { env: [`FILE=/sys/fs/cgroup/${file}`, ...(text ? [`TEXT=${text}`] : [])] });
  const { code } = await stream.closed;
  assert.equal(code, 'ok');
  assert.deepEqual([stream.text(2), file], ['', file]);
  return stream.text(1);
}

test('HOLD holds programs that have been moved to groups of their own', async (t) => {
  if ((await hold()) === 'unsupported') return t.skip('needs cgroup2');
  assert.equal((await wake('')).code, 'ok');
  assert.equal(await group('cgroup.procs'), '');
  const ticking = start('tick');
  const pid = new Fields((await ticking.message()).body).u32();
  await group('container');
  await group('container/cgroup.procs', String(pid));
  await ticking.until(() => ticking.bytes > 3);
  assert.equal(await hold(), 1);
  await host.ping();
  const heard = ticking.bytes;
  await new Promise((r) => setTimeout(r, 300));
  assert.equal(ticking.bytes, heard);
  assert.equal((await wake('')).code, 'ok');
  await ticking.until(() => ticking.bytes > heard);
  await host.call(OP.PROCESS_SIGNAL, [u32(pid), i32(9)]);
  await ticking.closed;
});

test('programs start though the workload has removed their group', async (t) => {
  if ((await hold()) === 'unsupported') return t.skip('needs cgroup2');
  assert.equal((await wake('')).code, 'ok');
  const own = async () => {
    const stream = start('group', { env: ['FILE=/proc/self/cgroup'] });
    assert.equal((await stream.closed).code, 'ok');
    return /^0::(.*)$/m.exec(stream.text(1))[1];
  };
  const first = await own();
  for (let i = 1; i < 4; i++) {
    const leaving = start('leave');
    assert.equal((await leaving.closed).code, 'ok');
    assert.equal(leaving.text(2), '');
    assert.equal(await own(), `/programs-${i}`);
  }
  assert.equal(first, '/programs');
  assert.equal(await hold(), 1);
  assert.equal((await wake('')).code, 'ok');
});

test('odd lines of passwd and group hide no others', async () => {
  const passwd = read('etc/passwd');
  const groups = read('etc/group');
  fs.chmodSync(machine.root, 0o755);
  const members = Array.from({ length: 2_000 }, (_, i) => `member-${i}`);
  fs.writeFileSync(
    inside('etc/passwd'),
    `\0:x:1:1::/:\nafter:x:4711:4711::/srv:/bin/bash\n${passwd}`,
    'latin1',
  );
  fs.writeFileSync(inside('etc/group'), `many:x:815:${members.join()},after,last\n${groups}`);
  const stream = start('group', { user: 'after', env: ['FILE=/proc/self/status'] });
  assert.equal((await stream.closed).code, 'ok');
  assert.match(stream.text(1), /^Uid:\t4711\t/m);
  assert.match(stream.text(1), /^Groups:\t815 4711 $/m);
  fs.rmSync(inside('etc/passwd'));
  /* A FIFO is no file of users, and the agent does not wait for its writer. */
  assert.equal((await start('fifo', { env: ['FILE=/etc/passwd'] }).closed).code, 'ok');
  assert.ok(fs.lstatSync(inside('etc/passwd')).isFIFO());
  assert.equal(
    (await within(start('true', { user: 'after' }).closed, 3_000, 'an answer')).code,
    'unknown_user',
  );
  fs.rmSync(inside('etc/passwd'));
  fs.writeFileSync(inside('etc/passwd'), passwd);
  fs.writeFileSync(inside('etc/group'), groups);
});

testWithMount('a mount over /proc or /dev stops no answer', async () => {
  const answers = async () => {
    assert.equal((await host.open(OP.INFO).closed).code, 'ok');
    const metrics = await host.call(OP.METRICS);
    assert.ok(metrics.messages[0].body.readBigUInt64LE(32) > 0n);
    assert.equal((await host.open(OP.ENTROPY_ADD, [str(Buffer.alloc(16)), u8(0)]).closed).code, 'ok');
    assert.notEqual(await hold(), 0);
    assert.equal((await wake('')).code, 'ok');
    assert.equal((await start('true').closed).code, 'ok');
  };
  const uncover = [await deadMount('sys'), await deadMount('proc'), await deadMount('dev')];
  try {
    await within(answers(), 8_000, 'answers');
  } finally {
    for (const one of uncover.reverse()) await one();
  }
});

testWithMount('an entry that cannot be looked at is listed, and everything else', async () => {
  fs.mkdirSync(inside('srv/list/z'), { recursive: true });
  for (const name of ['a', 'n', 'z/file']) fs.writeFileSync(inside('srv/list', name), 'content');
  const unmount = await deadMount('srv/list/m', 'private');
  const listing = await host.call(OP.DIR_LIST, [str(''), str('/srv/list'), u32(3)]);
  assert.deepEqual(
    listing.messages.map((m) => decodeEntry(m.body)).map(({ path: name, type }) => [name, type]),
    [
      ['/srv/list/a', 1],
      ['/srv/list/m', 4],
      ['/srv/list/n', 1],
      ['/srv/list/z', 2],
      ['/srv/list/z/file', 1],
    ],
  );
  await unmount();
});
