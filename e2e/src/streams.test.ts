import { createHash, randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import type { Sandbox, SandboxProcess } from '@dormouse/sdk';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from './support/eventually.js';
import { MemoryWatch } from './support/memory-watch.js';
import { MIB, SCALE } from './support/scale.js';
import { servicePid } from './support/services.js';
import { type Stack, startStack } from './support/stack.js';

const GIB = 1024 * MIB;
/** The sizes that are promised, from a scale of 2; a part of them otherwise, where everything is emulated. */
const FLOOD_BYTES = SCALE >= 2 ? GIB : GIB / 4;
const FILE_BYTES = SCALE >= 2 ? 2 * GIB : GIB / 4;
/** Tests that move all of it; only a hang takes longer. */
const BULK = { timeout: 1_800_000 };
/** How far a server may grow beyond its idle memory, whatever passes through it. */
const FLAT_BYTES = 200 * MIB;
/** How much a paused reader may find on its way: pipes, windows and buffers of every hop. */
const IN_FLIGHT_BYTES = 32 * MIB;

const EVERY_BYTE = Buffer.from(Array.from({ length: 256 }, (_, value) => value));
/** Characters of two, three and four bytes, cut everywhere, and bytes that are no text at all. */
const TORN_TEXT = Buffer.concat([
  Buffer.from('ä€😀'),
  Buffer.from('€').subarray(0, 2),
  Buffer.from('😀').subarray(1),
  Buffer.from([0xff, 0xfe, 0xc0, 0x80, 0x00]),
  EVERY_BYTE,
]);

let stack: Stack;
let sandbox: Sandbox;
let servers: { readonly 'host agent': number; readonly 'control plane': number };

beforeAll(async () => {
  stack = await startStack();
  sandbox = await stack.client.sandboxes.create();
  servers = {
    'host agent': (await servicePid(stack, 'host-agent'))!,
    'control plane': (await servicePid(stack, 'control-plane'))!,
  };
});

afterAll(async () => {
  await stack?.[Symbol.asyncDispose]();
});

function expectFlat(watch: MemoryWatch, what: string): void {
  const growth = watch.growth();
  console.info(
    what,
    Object.entries(growth)
      .map(([name, bytes]) => `${name} +${Math.round(bytes / MIB)} MiB`)
      .join(', '),
  );
  for (const bytes of Object.values(growth)) expect(bytes).toBeLessThan(FLAT_BYTES);
}

/** Bytes of everything a process writes on standard output, to its end. */
async function outputOf(process: SandboxProcess): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const event of process) if (event.type === 'stdout') pieces.push(event.data);
  return Buffer.concat(pieces);
}

/** Whether the guest runs a process whose command line is this. */
async function isRunning(commandLine: string): Promise<boolean> {
  const { exitCode } = await sandbox.exec({
    cmd: 'pgrep',
    args: ['--full', '--exact', commandLine],
    user: 'root',
  });
  return exitCode === 0;
}

test(
  'hazard 12: while one command floods, others answer, and the memory of the servers stays flat',
  BULK,
  async () => {
    using watch = await MemoryWatch.start(servers);
    await using flood = await sandbox.spawn(
      { cmd: 'head', args: ['--bytes', `${FLOOD_BYTES}`, '/dev/zero'] },
      { stdin: false },
    );
    let bytes = 0;
    let isFlooding = true;
    const reading = (async () => {
      for await (const event of flood) if (event.type === 'stdout') bytes += event.data.length;
      isFlooding = false;
    })();
    let answers = 0;
    while (isFlooding) {
      const { stdout, exitCode } = await sandbox.exec({ cmd: 'echo', args: [`answer ${answers}`] });
      expect([stdout, exitCode]).toEqual([`answer ${answers}\n`, 0]);
      if (isFlooding) answers += 1;
    }
    await reading;
    expect(bytes).toBe(FLOOD_BYTES);
    expect(await flood.exit).toEqual({ exitCode: 0, signal: null });
    expect(answers).toBeGreaterThanOrEqual(3);
    expectFlat(watch, `flood of ${FLOOD_BYTES / MIB} MiB, ${answers} answers meanwhile:`);
  },
);

test('a large file goes up and down unchanged while the memory of the servers stays flat', BULK, async () => {
  const hash = createHash('sha256');
  const piece = Buffer.alloc(MIB);
  async function* content(): AsyncGenerator<Uint8Array> {
    for (let sent = 0; sent < FILE_BYTES; sent += piece.length) {
      randomFillSync(piece, 0, 4096);
      hash.update(piece);
      // The one who sends may still hold what it was given.
      yield Buffer.from(piece);
    }
  }
  using watch = await MemoryWatch.start(servers);
  const entry = await sandbox.files.write('/home/user/large.bin', content());
  expect(entry).toMatchObject({ path: '/home/user/large.bin', type: 'file', size: FILE_BYTES });
  const sent = hash.digest('hex');
  const inGuest = await sandbox.exec({ cmd: 'sha256sum', args: ['/home/user/large.bin'] });
  expect(inGuest.stdout).toBe(`${sent}  /home/user/large.bin\n`);

  const received = createHash('sha256');
  let bytes = 0;
  const reader = (await sandbox.files.readStream('/home/user/large.bin')).getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    received.update(next.value);
    bytes += next.value.length;
  }
  expect([bytes, received.digest('hex')]).toEqual([FILE_BYTES, sent]);
  expectFlat(watch, `file of ${FILE_BYTES / MIB} MiB up and down:`);
});

test('a reader that pauses holds the process up, and what was not read is not lost', async () => {
  using watch = await MemoryWatch.start(servers);
  const total = 128 * MIB;
  await using flood = await sandbox.spawn(
    { cmd: 'head', args: ['--bytes', `${total}`, '/dev/zero'] },
    { stdin: false },
  );
  const written = async () => {
    const { stdout } = await sandbox.exec({ cmd: `grep wchar /proc/${flood.pid}/io`, user: 'root' });
    return Number(/^wchar: (\d+)$/m.exec(stdout)?.[1]);
  };
  let [last, same] = [-1, 0];
  const stuck = await eventually('the process waits', 120_000, async () => {
    const now = await written();
    same = now === last ? same + 1 : 0;
    last = now;
    return same >= 5 && now;
  });
  expect(stuck).toBeGreaterThan(0);
  expect(stuck).toBeLessThan(IN_FLIGHT_BYTES);
  expectFlat(watch, `paused reader, ${(stuck / MIB).toFixed(1)} MiB on their way:`);
  let bytes = 0;
  for await (const event of flood) if (event.type === 'stdout') bytes += event.data.length;
  expect(bytes).toBe(total);
});

test('a download that nobody reads stands still and grows no server', async () => {
  using watch = await MemoryWatch.start(servers);
  const size = 128 * MIB;
  await sandbox.exec({ cmd: 'truncate', args: ['--size', `${size}`, '/tmp/hole.bin'] });
  const url = `${stack.apiUrl}/v1/sandboxes/${sandbox.id}/files?path=/tmp/hole.bin`;
  const download = request(url, { headers: { 'x-api-key': stack.apiKey } }).end();
  const [response] = await once(download, 'response');
  expect([response.statusCode, response.headers['content-length']]).toEqual([200, `${size}`]);
  response.pause();
  for (let round = 0; round < 10; round++) await sandbox.exec('true');
  expectFlat(watch, 'paused download:');
  let bytes = 0;
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  response.resume();
  await once(response, 'end');
  expect(bytes).toBe(size);
});

test('hazard 13: every byte and every torn character comes back from exec, as base64 where it is no text', async () => {
  for (const bytes of [EVERY_BYTE, TORN_TEXT, TORN_TEXT.subarray(1), TORN_TEXT.subarray(0, 8)]) {
    const { stdout, stderr } = await sandbox.execBytes('tee /dev/stderr', { stdin: bytes });
    expect([Buffer.from(stdout), Buffer.from(stderr)]).toEqual([bytes, bytes]);
  }
  const answer = await fetch(`${stack.apiUrl}/v1/sandboxes/${sandbox.id}/exec`, {
    method: 'POST',
    headers: { 'x-api-key': stack.apiKey, 'content-type': 'application/json' },
    body: JSON.stringify({ cmd: String.raw`printf '\342\202'; echo text >&2` }),
  });
  expect(await answer.json()).toMatchObject({ encoding: 'base64', stdout: '4oI=', stderr: 'dGV4dAo=' });
  expect(await sandbox.exec({ cmd: 'printf', args: ['ä€😀'] })).toMatchObject({ stdout: 'ä€😀' });
});

test('hazard 13: every byte goes through a stream, piece by piece and in bulk', async () => {
  await using byByte = await sandbox.spawn({ cmd: 'cat', args: [] });
  for (const value of TORN_TEXT.subarray(0, 64)) await byByte.stdin.write(Buffer.from([value]));
  await byByte.stdin.write(TORN_TEXT.subarray(64));
  await byByte.stdin.end();
  expect(await outputOf(byByte)).toEqual(TORN_TEXT);

  const bulk = randomFillSync(Buffer.alloc(5 * MIB + 13));
  await using inBulk = await sandbox.spawn({ cmd: 'cat', args: [] });
  const [output] = await Promise.all([
    outputOf(inBulk),
    inBulk.stdin.write(bulk).then(() => inBulk.stdin.end()),
  ]);
  expect(output.equals(bulk)).toBe(true);
});

test('hazard 13: every byte goes through files, and names may hold any character', async () => {
  for (const name of ['bytes.bin', 'ä€😀 name', 'a?b#c%2f&d=e+f', '-rf']) {
    await sandbox.files.write(`/tmp/${name}`, TORN_TEXT);
    expect(Buffer.from(await sandbox.files.read(`/tmp/${name}`))).toEqual(TORN_TEXT);
    const { stdout } = await sandbox.exec({ cmd: 'stat', args: ['--format', '%s %n', `/tmp/${name}`] });
    expect(stdout).toBe(`${TORN_TEXT.length} /tmp/${name}\n`);
  }
  await sandbox.files.write('/tmp/empty', '');
  expect(await sandbox.files.read('/tmp/empty')).toHaveLength(0);
});

test('a part of a file is answered as the standard has it', async () => {
  await sandbox.files.write('/tmp/ranges', EVERY_BYTE);
  const url = `${stack.apiUrl}/v1/sandboxes/${sandbox.id}/files?path=/tmp/ranges`;
  for (const [range, from, to] of [
    ['bytes=0-0', 0, 1],
    ['bytes=10-19', 10, 20],
    ['bytes=250-', 250, 256],
    ['bytes=-6', 250, 256],
    ['bytes=0-99999', 0, 256],
    ['bytes=-99999', 0, 256],
  ] as const) {
    const answer = await fetch(url, { headers: { 'x-api-key': stack.apiKey, range } });
    expect(answer.status).toBe(206);
    expect(answer.headers.get('content-range')).toBe(`bytes ${from}-${to - 1}/256`);
    expect(answer.headers.get('content-length')).toBe(`${to - from}`);
    expect(Buffer.from(await answer.arrayBuffer())).toEqual(EVERY_BYTE.subarray(from, to));
  }
  for (const range of ['bytes=0-1,4-5', 'lines=0-1', 'bytes=5-1']) {
    const answer = await fetch(url, { headers: { 'x-api-key': stack.apiKey, range } });
    expect([answer.status, (await answer.arrayBuffer()).byteLength]).toEqual([200, 256]);
  }
  expect(Buffer.from(await sandbox.files.read('/tmp/ranges', { offset: 128, length: 2 }))).toEqual(
    Buffer.from([128, 129]),
  );
});

test('who leaves in the middle leaves no process in the guest and no growth in the servers', async () => {
  using watch = await MemoryWatch.start(servers);
  for (let round = 0; round < 5 * SCALE; round++) {
    const line = `yes left-${round}`;
    const stream = await sandbox.spawn({ cmd: 'yes', args: [`left-${round}`] }, { stdin: false });
    for await (const event of stream) if (event.type === 'stdout') break;
    expect(await isRunning(line)).toBe(true);
    stream.close();
    await eventually(`${line} ends`, 60_000, async () => !(await isRunning(line)));

    const leave = new AbortController();
    const waiting = sandbox.exec({ cmd: 'sleep', args: [`100${round}`] }, { signal: leave.signal });
    waiting.catch(() => {});
    await eventually('the command runs', 60_000, () => isRunning(`sleep 100${round}`));
    leave.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' });
    await eventually('the command ends', 60_000, async () => !(await isRunning(`sleep 100${round}`)));
  }
  expectFlat(watch, 'clients that left:');
});

test('an upload or download that breaks off ends on every hop, and the next one is whole', async () => {
  const path = '/home/user/broken/file';
  const leave = new AbortController();
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (let sent = 0; ; sent++) {
      if (sent === 16) {
        await eventually('the beginning arrives', 60_000, async () => {
          return (await sandbox.exec({ cmd: 'test', args: ['-s', path] })).exitCode === 0;
        });
        leave.abort();
      }
      yield Buffer.alloc(64 * 1024, 'x');
    }
  }
  const upload = sandbox.files.write(path, endless(), { signal: leave.signal });
  await expect(upload).rejects.toMatchObject({ code: 'cancelled' });
  // What had arrived is there; nobody holds the file open, and nothing else lies beside it.
  await eventually('nobody writes to the file any more', 60_000, async () => {
    const held = await sandbox.exec({
      cmd: `! find /proc/[0-9]*/fd -lname ${path} 2>/dev/null | grep .`,
      user: 'root',
    });
    return held.exitCode === 0;
  });
  expect((await sandbox.exec('ls -A broken && tr -d x < broken/file')).stdout).toBe('file\n');
  const size = Number((await sandbox.exec('stat --format %s broken/file')).stdout);
  expect(size).toBeLessThanOrEqual(16 * 64 * 1024);

  await sandbox.exec({ cmd: 'truncate', args: ['--size', '64M', '/tmp/hole.bin'] });
  const reader = (await sandbox.files.readStream('/tmp/hole.bin')).getReader();
  expect((await reader.read()).done).toBe(false);
  await reader.cancel();

  await sandbox.files.write(path, 'whole');
  expect(await sandbox.files.readText(path)).toBe('whole');
});
