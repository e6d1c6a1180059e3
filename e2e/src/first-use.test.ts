import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type MetricsPoint, type ProcessInfo, Sandbox, type SandboxInfo } from '@dormouse/sdk';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CommandLine } from './support/command-line.js';
import { run } from './support/run.js';
import { DORMOUSE, REPOSITORY, type Stack, startStack } from './support/stack.js';
import { Terminal } from './support/terminal.js';
import { NO_TRACES, tracesOf } from './support/traces.js';

const EVERY_BYTE = Buffer.from(Array.from({ length: 256 }, (_, value) => value));

let stack: Stack;
let cli: CommandLine;
/** Made by the command line, used by all tests. */
let sandbox: SandboxInfo;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dormouse-first-use-'));
  stack = await startStack();
  cli = new CommandLine(stack);
  sandbox = await cli.json(
    'sandbox',
    'create',
    '--name',
    'first',
    '--env',
    'COLOUR=brown',
    '--metadata',
    'a=b',
  );
});

afterAll(async () => {
  await stack?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

test('`up` says where the API is, and the API answers with the version of this checkout', async () => {
  expect(stack.apiUrl).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  expect(stack.apiKey).toMatch(/^dor_[0-9a-f]{64}$/);
  const { version } = JSON.parse(readFileSync(join(REPOSITORY, 'apps/cli/package.json'), 'utf8'));
  expect(await stack.client.health()).toMatchObject({ version });
});

test('a program runs Python, Node.js and shell commands in a sandbox that is gone after its scope', async () => {
  let id: string;
  {
    await using own = await Sandbox.create({ apiUrl: stack.apiUrl, apiKey: stack.apiKey, envs: { N: '7' } });
    id = own.id;
    const python = await own.exec({ cmd: 'python3', args: ['-c', 'print(6 * 7)'] });
    expect(python).toMatchObject({ stdout: '42\n', stderr: '', exitCode: 0, signal: null, truncated: false });
    expect(await own.exec('node -p "[1, 2, 3].at(-1)"')).toMatchObject({ stdout: '3\n', exitCode: 0 });
    expect(await own.exec('echo "$N" && id -un && pwd; exit 3')).toMatchObject({
      stdout: '7\nuser\n/home/user\n',
      exitCode: 3,
    });
    await own.files.write('letter.bin', EVERY_BYTE, { mode: '0600' });
    expect(Buffer.from(await own.files.read('/home/user/letter.bin'))).toEqual(EVERY_BYTE);
    expect((await own.exec('stat -c "%a %s %U" letter.bin')).stdout).toBe('600 256 user\n');
  }
  await expect(stack.client.sandboxes.info(id)).rejects.toMatchObject({ code: 'not_found', status: 404 });
});

test('`sandbox create`, `ls` and `info` tell the same about a sandbox, as JSON and as tables', async () => {
  expect(sandbox).toMatchObject({
    state: 'running',
    reason: null,
    template: 'base',
    vcpus: 1,
    memoryMb: 512,
    metadata: { a: 'b', name: 'first' },
    internet: true,
  });
  const { lastActiveAt: _, ...lasting } = sandbox;
  expect(await cli.json('sandbox', 'info', sandbox.id)).toMatchObject(lasting);
  expect(await cli.json('sandbox', 'ls')).toMatchObject([lasting]);
  expect(await cli.json('sandbox', 'ls', '--metadata', 'a=c')).toEqual([]);
  expect(await cli.say('sandbox', 'ls', '--quiet')).toBe(`${sandbox.id}\n`);
  const [head, row] = (await cli.say('sandbox', 'ls')).split('\n');
  expect(head?.split(/ {2,}/)).toEqual(['ID', 'STATE', 'TEMPLATE', 'VCPUS', 'MEMORY', 'AGE', 'LABELS']);
  expect(row).toMatch(new RegExp(`^${sandbox.id} +running +base +1 +512 MiB +.+ +a=b name=first$`));
  expect(await cli.say('sandbox', 'info', sandbox.id)).toMatch(/^state +running$/m);
});

test('the exit code of `sandbox exec` is the command’s own, or 128 and the signal that ended it', async () => {
  const { id } = sandbox;
  const code = async (...words: string[]) => (await cli.run(['sandbox', 'exec', id, ...words])).code;
  expect(await code('true')).toBe(0);
  expect(await code('--', 'sh', '-c', 'exit 7')).toBe(7);
  expect(await code('kill -KILL $$')).toBe(137);
  expect(await code('kill -TERM $$')).toBe(143);
  const missing = await cli.run(['sandbox', 'exec', id, '--', 'no-such-program', 'x']);
  expect(missing).toMatchObject({ code: expect.toSatisfy((value) => value !== 0), stdout: '' });
  expect(missing.stderr).toContain('no-such-program');
});

test('`sandbox exec` keeps output and errors apart, and takes user, directory, variables and options', async () => {
  const { id } = sandbox;
  const options = ['--user', 'root', '--cwd', '/etc', '--env', 'N=1'];
  const script = 'id -un; pwd; echo "$N$COLOUR"; echo wrong >&2';
  expect(await cli.run(['sandbox', 'exec', id, ...options, '--', 'sh', '-c', script])).toMatchObject({
    code: 0,
    stdout: 'root\n/etc\n1brown\n',
    stderr: 'wrong\n',
  });
  expect((await cli.run(['sandbox', 'exec', id, 'ls', '-d', '/etc'])).stdout).toBe('/etc\n');
  expect(JSON.parse(await cli.say('sandbox', 'exec', '--json', id, '--', 'echo', 'hi'))).toMatchObject({
    stdout: 'hi\n',
  });
  const late = await cli.run(['sandbox', 'exec', '--timeout', '1', id, '--', 'sleep', '600']);
  expect(late).toMatchObject({ code: 4, stderr: expect.stringContaining('the command was ended after 1 s') });
});

test('hazard 13: what is piped into `sandbox exec` arrives byte by byte and ends', async () => {
  const { bytes, code } = await cli.run(['sandbox', 'exec', sandbox.id, 'cat'], { stdin: EVERY_BYTE });
  expect([code, bytes]).toEqual([0, EVERY_BYTE]);
  const counted = await cli.run(['sandbox', 'exec', sandbox.id, 'wc', '-c'], {
    stdin: Buffer.alloc(3_000_000),
  });
  expect(counted.stdout).toBe('3000000\n');
});

test('`sandbox cp` takes files and folders in and out, and - is standard input and output', async () => {
  const { id } = sandbox;
  const source = join(folder, 'source');
  await mkdir(join(source, 'deep'), { recursive: true });
  await writeFile(join(source, 'bytes.bin'), EVERY_BYTE);
  await writeFile(join(source, 'deep', 'run.sh'), '#!/bin/sh\necho ran\n', { mode: 0o755 });
  await cli.say('sandbox', 'cp', source, `${id}:/tmp/copied`);
  expect((await cli.run(['sandbox', 'exec', id, '/tmp/copied/deep/run.sh'])).stdout).toBe('ran\n');
  const back = join(folder, 'back');
  expect(await cli.json('sandbox', 'cp', `${id}:/tmp/copied`, back)).toMatchObject({ files: 2, skipped: [] });
  expect(await readFile(join(back, 'bytes.bin'))).toEqual(EVERY_BYTE);
  const up = await cli.run(['sandbox', 'cp', '-', `${id}:piped.bin`], { stdin: EVERY_BYTE });
  expect(up.code).toBe(0);
  expect((await cli.run(['sandbox', 'cp', `${id}:/home/user/piped.bin`, '-'])).bytes).toEqual(EVERY_BYTE);
  const missing = await cli.run(['sandbox', 'cp', `${id}:/no/such`, back]);
  expect(missing).toMatchObject({ code: 3, stderr: expect.stringMatching(/^error: .*\/no\/such/) });
});

test('`sandbox metrics` shows what it was doing', async () => {
  const points = await cli.json<MetricsPoint[]>('sandbox', 'metrics', sandbox.id, '--last', '1');
  const newest = points.at(-1);
  expect(Date.now() - Date.parse(newest?.at ?? '')).toBeLessThan(60_000);
  expect(newest).toMatchObject({ cpuCount: sandbox.vcpus });
  const [head = '', ...rows] = (await cli.say('sandbox', 'metrics', sandbox.id)).trim().split('\n');
  expect(head.split(/\s+/)).toEqual(['AT', 'CPU', 'MEMORY', 'DISK', 'PROCESSES']);
  expect(rows.at(-1)).toMatch(/^\d{4}-\S+Z .* MiB of \d+ MiB .* of [\d.]+ GiB +\d+$/);
});

test('`sandbox ps` lists what was started and `sandbox logs` shows the console', async () => {
  const { id } = sandbox;
  const connected = await stack.client.sandboxes.connect(id);
  await using sleeper = await connected.spawn(
    { cmd: 'sleep', args: ['600'] },
    { tag: 'nap', stdin: false, detach: true },
  );
  const listed = await cli.json<ProcessInfo[]>('sandbox', 'ps', id);
  expect(listed.find(({ pid }) => pid === sleeper.pid)).toMatchObject({
    argv: ['sleep', '600'],
    running: true,
    tag: 'nap',
    user: 'user',
    cwd: '/home/user',
    exitCode: null,
  });
  await sleeper.kill('SIGTERM');
  expect(await sleeper.wait()).toEqual({ exitCode: 143, signal: 'SIGTERM' });
  await connected.exec({ cmd: 'echo "a line of the console" > /dev/console', user: 'root' });
  expect(await cli.say('sandbox', 'logs', id)).toContain('a line of the console\n');
  expect((await cli.json<{ console: string }>('sandbox', 'logs', id, '--bytes', '4')).console).toHaveLength(
    4,
  );
});

test('`sandbox shell` is a terminal of the size of this one, and `exit` leaves it with its code', async () => {
  const command = `stty cols 101 rows 31; '${DORMOUSE}' sandbox shell ${sandbox.id}`;
  await using terminal = new Terminal(command, cli.env);
  await terminal.see(/\$ $/);
  terminal.type('stty size; tty; echo $((6 * 7))-$COLOUR\r');
  await terminal.see(/31 101\r+\n\/dev\/pts\/\d+\r+\n42-brown\r+\n[\s\S]*\$ /);
  terminal.type(`sh -c 'echo asleep now; exec sleep 600'\r`);
  await terminal.see(/\rasleep now\r+\n/);
  terminal.type('\x03');
  await terminal.see(/\^C[\s\S]*\$ /);
  terminal.type('echo still $((1 + 1)); exit 5\r');
  await terminal.see(/still 2\r+\n/);
  expect(await terminal.exitCode()).toBe(5);
});

test('completion offers commands, options and the ids of sandboxes', async () => {
  const complete = async (...words: string[]) => {
    const script = `source <('${DORMOUSE}' completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _dormouse; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout } = await run('bash', ['-c', script, 'bash', DORMOUSE, ...words], { env: cli.env });
    return stdout.trim().split('\n');
  };
  expect(await complete('sandbox', 'e')).toEqual(['exec', 'events']);
  expect(await complete('sandbox', 'info', 'sb')).toEqual([sandbox.id]);
  expect(await complete('up', '--api')).toEqual(['--api-port']);
});

test('`demo` plays to its end on the running server and leaves no sandbox', async () => {
  const played = await cli.json<{ step: string }[]>('demo');
  expect(played.map(({ step }) => step)).toEqual([
    'make a sandbox',
    'run Python',
    'run Node.js',
    'run a shell command',
    'write a file',
    'read it back',
    'stream output',
    'start a counter',
    'pause',
    'look for what is left',
    'resume',
    'ask the counter',
    'read the file again',
    'keep this moment',
    'spawn 2 from it',
    'ask their counters',
    'fork into 2',
    'ask their counters',
    'remove everything',
  ]);
  expect(await cli.say('sandbox', 'ls', '--quiet')).toBe(`${sandbox.id}\n`);
});

test('`doctor --json` finds that a machine that runs sandboxes can run them', async () => {
  const rows = await cli.json<{ name: string; status: string; detail: string; fix: string }[]>('doctor');
  expect(rows.filter(({ status }) => !['ok', 'warn'].includes(status))).toEqual([]);
  expect(rows.map(({ name }) => name)).toEqual(expect.arrayContaining(['root', 'KVM', 'qemu-system-x86_64']));
  for (const row of rows) expect(Object.keys(row).sort()).toEqual(['detail', 'fix', 'name', 'status']);
});

test('a key that is made works until it is removed', async () => {
  const { id, key } = await cli.json<{ id: string; key: string }>('key', 'create', 'guest');
  const ask = () => cli.run(['sandbox', 'ls', '--quiet', '--api-key', key]);
  expect(await ask()).toMatchObject({ code: 0, stdout: `${sandbox.id}\n` });
  await cli.say('key', 'rm', id);
  expect(await ask()).toMatchObject({ code: 2, stdout: '', stderr: 'error: this API key is not valid\n' });
});

test('hazard 16: `sandbox rm` frees everything the sandbox had, and what is gone is said to be gone', async () => {
  const { id } = sandbox;
  expect(await cli.json('sandbox', 'rm', id)).toEqual({ removed: [id] });
  const traces = await tracesOf(stack.dataDir);
  expect(traces).toMatchObject({ sockets: [], guestMemory: [], sandboxes: [], mounts: [], temporary: [] });
  expect(traces.processes.filter((line) => line.includes('qemu'))).toEqual([]);
  expect(await cli.run(['sandbox', 'rm', id])).toMatchObject({
    code: 3,
    stderr: `error: there is no sandbox ${id}\n`,
  });
});

test('hazard 16: Ctrl-C ends `up` with 0, and nothing of it is left', async () => {
  expect(await stack.stop('SIGINT')).toBe(0);
  expect(stack.log()).toMatch(/Everything is stopped\.\n$/);
  expect(await tracesOf(stack.dataDir)).toEqual(NO_TRACES);
});
