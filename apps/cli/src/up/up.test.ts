import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { CHECKOUT } from '../checkout.js';
import { DirectoryLock } from './directory-lock.js';
import { findTool } from './preflight.js';
import { writeUpState } from './up-state.js';

/** The command as it is built: what is tested here is a process, its output and its exit code. */
const MAIN = join(CHECKOUT, 'apps/cli/dist/main.js');
const IS_ROOT = process.getuid?.() === 0;

let directory: string;

beforeAll(() => {
  const tsc = join(CHECKOUT, 'node_modules/typescript/bin/tsc');
  execFileSync(process.execPath, [tsc, '-b', 'apps/cli'], { cwd: CHECKOUT });
}, 120_000);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'dormouse-up-'));
});

afterEach(() => rmSync(directory, { recursive: true }));

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `up` to its end, which is near where it cannot start. */
function up(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  prefix: readonly string[] = [],
): Outcome {
  const [file = '', ...rest] = [...prefix, process.execPath, MAIN, 'up', ...args];
  const { DORMOUSE_DATA: _, ...inherited } = process.env;
  const { status, stdout, stderr } = spawnSync(file, rest, {
    env: { ...inherited, ...env },
    encoding: 'utf8',
    timeout: 30_000,
  });
  return { status, stdout, stderr };
}

test('without root it says so and leaves nothing behind', () => {
  const data = join(directory, 'data');
  const outcome = up(['--data', data], {}, IS_ROOT ? ['setpriv', '--reuid=65534', '--clear-groups'] : []);
  expect(outcome).toEqual({
    status: 4,
    stdout: '',
    stderr: 'error: running sandboxes on this machine needs root\n  Run the same command as root.\n',
  });
  expect(existsSync(data)).toBe(false);
});

test.runIf(IS_ROOT)('a data directory whose sockets would have names too long is refused', () => {
  const data = join('/tmp', 'x'.repeat(60));
  expect(up(['--data', data])).toEqual({
    status: 2,
    stdout: '',
    stderr:
      'error: the path of the data directory is 2 bytes too long\n' +
      '  Unix sockets live below it: choose one of at most 63 bytes with --data.\n',
  });
  expect(existsSync(data)).toBe(false);
});

test.runIf(IS_ROOT)('a missing tool is named together with its package', () => {
  const data = join(directory, 'data');
  const bin = join(directory, 'bin');
  mkdirSync(bin);
  const tools = [
    'qemu-system-x86_64',
    'mmdebstrap',
    'mkfs.ext4',
    'cpio',
    'zstd',
    'musl-gcc',
    'gcc',
    'make',
    'lz4',
  ];
  for (const tool of [...tools, 'nft', 'ip']) symlinkSync(findTool(tool) ?? '/bin/true', join(bin, tool));
  expect(up(['--data', data], { PATH: bin })).toEqual({
    status: 4,
    stdout: '',
    stderr: 'error: missing on this machine: qemu-img\n  Run as root: apt-get install qemu-utils\n',
  });
  expect(existsSync(data)).toBe(false);
});

test.runIf(IS_ROOT)('too little shared memory is told with both figures and the fix', () => {
  const data = join(directory, 'data');
  const shm = join(directory, 'shm');
  mkdirSync(shm);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', shm]);
  try {
    expect(up(['--data', data], { DORMOUSE_SHM_DIR: shm })).toEqual({
      status: 4,
      stdout: '',
      stderr:
        `error: ${shm} has 8 MiB free, guest memory needs 512 MiB or more\n` +
        `  Run: mount -o remount,size=75% ${shm} (in a container, give it more with --shm-size).\n`,
    });
  } finally {
    execFileSync('umount', [shm]);
  }
  expect(existsSync(data)).toBe(false);
});

test.runIf(IS_ROOT)('a taken port is one line, whether or not the data directory exists', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  try {
    const fresh = join(directory, 'fresh');
    const api = up(['--data', fresh, '--api-port', String(port)]);
    expect(api.status).toBe(4);
    expect(api.stderr).toMatch(
      new RegExp(`^error: port ${port} is taken by .+ \\(pid ${process.pid}\\)\\n  Choose .+\\n$`),
    );
    expect(existsSync(fresh)).toBe(false);

    const existing = join(directory, 'existing');
    mkdirSync(existing);
    const edge = up(['--data', existing, '--api-port', '0', '--edge-port', String(port)]);
    expect(edge.stderr).toContain('another one with --edge-port');
    expect(readdirSync(existing)).toEqual([]);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});

test.runIf(IS_ROOT)('a second `up` on the same data directory names the first', async () => {
  await using _lock = await DirectoryLock.take(directory);
  const state = join(directory, 'up.json');
  writeUpState(state, { pid: process.pid, apiUrl: 'http://127.0.0.1:4050', processes: [] });
  const outcome = up(['--data', directory]);
  expect(outcome).toEqual({
    status: 4,
    stdout: '',
    stderr:
      `error: dormouse is already up on ${directory} (pid ${process.pid}, http://127.0.0.1:4050)\n` +
      '  Use it as it is, end it first, or choose another directory with --data.\n',
  });
  expect(readdirSync(directory)).toEqual(['up.json']);
});

test('a command line that is not understood ends with 2; with --json it is told in JSON', () => {
  expect(up(['--api-port', '70000'])).toEqual({
    status: 2,
    stdout: '',
    stderr:
      "error: option '--api-port <port>' argument '70000' is invalid. Must be a whole number from 0 to 65535.\n" +
      '  --help shows what there is.\n',
  });
  const { status, stderr } = up(['--json', '--host']);
  expect([status, JSON.parse(stderr)]).toEqual([
    2,
    { error: { code: 'invalid_request', message: "option '--host <address>' argument missing" } },
  ]);
});

test('a lock is given back when its holder is killed', async () => {
  const script = `import { DirectoryLock } from ${JSON.stringify(join(CHECKOUT, 'apps/cli/dist/up/directory-lock.js'))};
    const lock = await DirectoryLock.take(${JSON.stringify(directory)});
    process.kill(process.pid, lock ? 'SIGKILL' : 'SIGTERM');`;
  const { signal } = spawnSync(process.execPath, ['--input-type=module', '--eval', script]);
  expect(signal).toBe('SIGKILL');
  // The kernel tells the child that holds it by closing its pipe; it needs a moment to go.
  await expect
    .poll(async () => {
      await using lock = await DirectoryLock.take(directory);
      return lock !== undefined;
    })
    .toBe(true);
});
