import { type Sandbox, Sandbox as Sandboxes, type SandboxInfo } from '@dormouse/sdk';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CommandLine } from './support/command-line.js';
import { eventually } from './support/eventually.js';
import { isAlive } from './support/processes.js';
import { MIB } from './support/scale.js';
import { type Stack, startStack } from './support/stack.js';
import { NO_TRACES, tracesOf } from './support/traces.js';
import { vmOf } from './support/vm.js';

const TOLD = '/tmp/told';
const FILE = '/home/user/bytes.bin';
const FILE_BYTES = 4 * MIB;
/** Emulated guests share the processors with everything else. */
const PATIENCE_MS = 60_000;

/**
 * Holds random bytes that are nowhere but in its memory, and counts. Asked by SIGUSR1 it writes their digest and the
 * count to a file, in one step.
 */
const COUNTER = `
import hashlib, os, signal, time
held, count = os.urandom(8 << 20), 0
def tell(*_):
    with open('${TOLD}.new', 'w') as file: file.write(f'{hashlib.sha256(held).hexdigest()} {count}')
    os.rename('${TOLD}.new', '${TOLD}')
signal.signal(signal.SIGUSR1, tell)
print('ready', flush=True)
while True:
    count += 1
    time.sleep(0.05)
`;

interface Told {
  readonly digest: string;
  readonly count: number;
}

let stack: Stack;
let cli: CommandLine;
let sandbox: Sandbox;
let pid: number;
let fileDigest: string;

beforeAll(async () => {
  stack = await startStack();
  cli = new CommandLine(stack);
  sandbox = (await stack.client.sandboxes.create({ metadata: { role: 'sleeper' } })).keep();
  pid = await startCounter(sandbox);
  await sandbox.files.write(FILE, Buffer.alloc(FILE_BYTES, 'dormouse'));
  fileDigest = await digestOf(sandbox);
});

afterAll(async () => {
  await stack?.[Symbol.asyncDispose]();
});

/** Starts the counter and leaves it running. */
async function startCounter(where: Sandbox): Promise<number> {
  await using counter = await where.spawn(
    { cmd: 'python3', args: ['-c', COUNTER] },
    { stdin: false, detach: true },
  );
  for await (const event of counter) {
    if (event.type === 'stdout' && Buffer.from(event.data).toString() === 'ready\n') return counter.pid;
  }
  throw new Error('the counter ended');
}

/** What the counter of a sandbox, or of one that it descends from, says now. */
async function tell(where: Sandbox): Promise<Told> {
  await where.exec({ cmd: 'rm', args: ['-f', TOLD] });
  await where.processes.kill(pid, { processSignal: 'SIGUSR1' });
  const said = await eventually('the counter answers', PATIENCE_MS, async () => {
    const { stdout, exitCode } = await where.exec({ cmd: 'cat', args: [TOLD] });
    return exitCode === 0 && stdout;
  });
  const [digest = '', count] = said.split(' ');
  return { digest, count: Number(count) };
}

async function digestOf(where: Sandbox): Promise<string> {
  return (await where.exec({ cmd: 'sha256sum', args: [FILE] })).stdout;
}

/** It is the same process with the same memory as `before`, further on, beside the same files. */
async function expectGoesOn(where: Sandbox, before: Told): Promise<Told> {
  const now = await tell(where);
  expect(now.digest).toBe(before.digest);
  expect(now.count).toBeGreaterThan(before.count);
  expect(await digestOf(where)).toBe(fileDigest);
  return now;
}

test('hazard 2: a paused sandbox is neither process nor memory, and resumed it goes on where it was', async () => {
  let told = await tell(sandbox);
  for (let round = 0; round < 3; round++) {
    const vm = await vmOf(stack.dataDir, sandbox.id);
    if (vm === undefined) throw new Error('it has no VM');
    const paused = await sandbox.pause();
    expect(paused).toMatchObject({ state: 'paused', reason: null, pausedAt: expect.any(String) });
    expect(await isAlive(vm.pid)).toBe(false);
    expect((await tracesOf(stack.dataDir)).guestMemory).not.toContain(vm.slot);
    await expect(sandbox.exec('true')).rejects.toMatchObject({ code: 'invalid_state', status: 409 });
    expect(await sandbox.pause()).toEqual(paused);

    const resumed = await sandbox.resume();
    expect(resumed).toMatchObject({ state: 'running', reason: null, pausedAt: null, resumedBy: 'memory' });
    expect(await sandbox.resume()).toMatchObject({ startedAt: resumed.startedAt });
    told = await expectGoesOn(sandbox, told);
  }
});

test('hazard 8: ten resumes at once are one, and ten equal answers', async () => {
  const told = await tell(sandbox);
  await sandbox.pause();
  const answers = await Promise.all(Array.from({ length: 10 }, () => sandbox.resume()));
  const [first] = answers;
  expect(first).toMatchObject({ state: 'running', resumedBy: 'memory' });
  for (const { lastActiveAt: _, ...answer } of answers) expect(first).toMatchObject(answer);
  await expectGoesOn(sandbox, told);
});

test('a snapshot begins sandboxes that go on by themselves, also when it is gone', async () => {
  const told = await tell(sandbox);
  const kept = await sandbox.snapshot({ name: 'moment', description: 'while it counts' });
  expect(kept).toMatchObject({ name: 'moment', type: 'snapshot', memory: true, parent: null });
  expect(kept.lineage.map(({ name, type }) => [name, type])).toEqual([['base', 'base']]);
  await expect(sandbox.snapshot({ name: 'moment' })).rejects.toMatchObject({ code: 'already_exists' });
  await expect(stack.client.sandboxes.create({ template: 'moment', vcpus: 2 })).rejects.toMatchObject({
    code: 'invalid_state',
    status: 409,
  });
  const access = { apiUrl: stack.apiUrl, apiKey: stack.apiKey };
  await using first = await Sandboxes.create({ template: 'moment', ...access });
  await using second = await stack.client.sandboxes.create({ template: kept.id });
  expect(first.info).toMatchObject({ template: 'base', parentSnapshot: kept.id, resumedBy: null });
  await stack.client.snapshots.delete('moment');
  await expect(stack.client.snapshots.get('moment')).rejects.toMatchObject({ code: 'not_found' });
  await expectGoesOn(first, told);
  await expectGoesOn(second, told);
  await first.exec('echo mine > /home/user/own');
  expect((await second.exec('cat /home/user/own')).exitCode).not.toBe(0);
  const deeper = await first.snapshot({ name: 'deeper' });
  expect(deeper.lineage.map(({ name, deleted }) => [name, deleted])).toEqual([
    ['moment', true],
    ['base', false],
  ]);
  expect(await cli.say('snapshot', 'tree')).toMatch(
    /^base {2}.+\n└─ moment \(deleted\)\n {3}└─ deeper {2}.+\n$/,
  );
  await first.pause();
  await first.resume();
  await expectGoesOn(first, told);
  expect(await cli.json('snapshot', 'rm', 'deeper')).toEqual({ removed: ['deeper'] });
});

test('hazard 10: three forks go on from the same moment, with randomness and names of their own', async () => {
  const told = await tell(sandbox);
  const results = await sandbox.fork(3);
  const children = results.map((result) => {
    if (result.error !== undefined) throw result.error;
    return result.sandbox;
  });
  expect(new Set(children.map(({ id }) => id)).size).toBe(3);
  expect(children.map(({ info }) => info.metadata)).toEqual(Array(3).fill({ role: 'sleeper' }));
  const family = [sandbox, ...children];
  for (const member of family) await expectGoesOn(member, told);
  const say = (command: string) =>
    Promise.all(family.map(async (member) => (await member.exec(command)).stdout));
  expect(new Set(await say('head -c 16 /dev/urandom | sha256sum')).size).toBe(4);
  expect(new Set(await say('hostname')).size).toBe(4);
  for (const child of children) await child.delete();
});

test('hazard 9: what runs when `up` stops runs again when it is back, and what is paused stays paused', async () => {
  const told = await tell(sandbox);
  await using sleeper = await stack.client.sandboxes.create();
  await sleeper.pause();
  expect(await stack.stop()).toBe(0);
  stack = await startStack({ dataDir: stack.dataDir });
  cli = new CommandLine(stack);
  sandbox = await eventually('it runs again', PATIENCE_MS, async () => {
    const again = await stack.client.sandboxes.connect(sandbox.id);
    return again.info.state === 'running' && again.info.resumedBy === 'memory' && again;
  });
  await expectGoesOn(sandbox, told);
  const other = await stack.client.sandboxes.connect(sleeper.id);
  expect(other.info.state).toBe('paused');
  expect((await other.resume()).resumedBy).toBe('memory');
  await other.delete();
  sleeper.keep();
});

test('`sandbox pause`, `resume`, `fork` and `checkpoint` say what they did', async () => {
  const { id } = sandbox;
  expect(await cli.say('sandbox', 'pause', id)).toBe(`${id}\n`);
  expect(await cli.json<SandboxInfo[]>('sandbox', 'resume', id)).toMatchObject([
    { id, state: 'running', resumedBy: 'memory' },
  ]);
  const child = (await cli.say('sandbox', 'fork', id)).trim();
  expect(child).toMatch(/^sb[a-z0-9]{20}$/);
  expect(await cli.say('sandbox', 'checkpoint', child, '--name', 'kept')).toBe('kept\n');
  expect(await cli.say('snapshot', 'ls', '--quiet')).toBe('kept\nbase\n');
  expect((await cli.run(['sandbox', 'checkpoint', child, '--name', 'kept'])).code).toBe(4);
  expect((await cli.run(['snapshot', 'rm', 'no-such'])).code).toBe(3);
  await cli.say('snapshot', 'rm', 'kept');
  await cli.say('sandbox', 'rm', child);
});

test('hazard 16: when everything is deleted nothing is left', async () => {
  const paused = await stack.client.sandboxes.create();
  await paused.pause();
  await paused.delete();
  await sandbox.delete();
  for await (const { id } of stack.client.sandboxes.list()) expect.unreachable(`${id} is still listed`);
  for await (const { name } of stack.client.snapshots.list({ type: 'snapshot' })) {
    expect.unreachable(`${name} is still listed`);
  }
  expect((await tracesOf(stack.dataDir)).sandboxes).toEqual([]);
  expect(await stack.stop()).toBe(0);
  expect(await tracesOf(stack.dataDir)).toEqual({ ...NO_TRACES, layers: expect.any(Array) });
});
