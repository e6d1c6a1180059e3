import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Guest } from './guest.js';
import { HELLO_MAGIC } from './protocol.js';
import { canRunAgent, OutputReader, outcome, RealAgent, until } from './testing/real-agent.js';

const SIGTERM = 15;
const SIGKILL = 9;

describe.skipIf(!canRunAgent)('processes of the real agent', () => {
  let agent: RealAgent;
  let guest: Guest;

  beforeAll(async () => {
    agent = await RealAgent.start();
    guest = await agent.connect();
  }, 180_000);

  afterAll(async () => {
    await agent?.[Symbol.asyncDispose]();
  });

  test('output comes per channel, with the exit code', async () => {
    const process = await guest.startProcess({ argv: ['sh', '-c', 'printf out; printf err >&2; exit 3'] });
    const { stdout, stderr, exit } = await outcome(process);
    expect([stdout.toString(), stderr.toString()]).toEqual(['out', 'err']);
    expect(exit).toEqual({ exitCode: 3, signal: 0, coreDumped: false });
    expect(process.pid).toBeGreaterThan(0);
  });

  test('hazard 13: bytes go through a process and back exactly', async () => {
    const bytes = Buffer.concat([
      Buffer.from(Uint8Array.from({ length: 256 }, (_, byte) => byte)),
      randomBytes(3_000_000),
    ]);
    const process = await guest.startProcess({ argv: ['cat'], input: true });
    const result = outcome(process);
    await process.writeInput(bytes.subarray(0, 100));
    await process.writeInput(bytes.subarray(100));
    await process.closeInput();
    expect((await result).stdout.equals(bytes)).toBe(true);
  });

  test('input is empty unless asked for, and ends where it is closed', async () => {
    const empty = await outcome(await guest.startProcess({ argv: ['wc', '-c'] }));
    expect(empty.stdout.toString()).toBe('0\n');
    const process = await guest.startProcess({ argv: ['wc', '-c'], input: true });
    await process.writeInput(Buffer.from('12345'));
    await process.closeInput();
    expect((await outcome(process)).stdout.toString()).toBe('5\n');
    await expect(process.writeInput(Buffer.from('x'))).rejects.toMatchObject({ code: 'invalid_state' });
  });

  test('user, directory, environment and tag are what was asked for', async () => {
    const process = await guest.startProcess({
      argv: ['sh', '-c', 'id -un; pwd; printf "%s\\n" "$GREETING" "$HOME"; read wait'],
      user: 'nobody',
      cwd: '/tmp',
      environment: { GREETING: 'grüß dich = ja' },
      tag: 'shell-1',
      input: true,
    });
    const reader = new OutputReader(process);
    expect(Buffer.from(await reader.until('nonexistent\n'), 'latin1').toString()).toBe(
      'nobody\n/tmp\ngrüß dich = ja\n/nonexistent\n',
    );
    const listed = (await guest.listProcesses()).find(({ pid }) => pid === process.pid);
    expect(listed).toMatchObject({
      running: true,
      terminal: false,
      inputOpen: true,
      tag: 'shell-1',
      user: 'nobody',
      cwd: '/tmp',
      argv: ['sh', '-c', 'id -un; pwd; printf "%s\\n" "$GREETING" "$HOME"; read wait'],
    });
    expect(Math.abs(Date.now() - (listed?.startTimeMs ?? 0))).toBeLessThan(60_000);
    await process.closeInput();
    await process.exit;
    await until('the list', async () =>
      (await guest.listProcesses()).some(({ pid, running }) => pid === process.pid && !running),
    );
  });

  test('what is started unlisted is in nobody’s list, running or ended', async () => {
    const process = await guest.startProcess({ argv: ['cat'], input: true, listed: false });
    const pids = async () => (await guest.listProcesses()).map(({ pid }) => pid);
    expect(await pids()).not.toContain(process.pid);
    await process.closeInput();
    expect((await process.exit).exitCode).toBe(0);
    expect(await pids()).not.toContain(process.pid);
  });

  test.each([
    [{ argv: ['no-such-command'] }, 'command_not_found', 'invalid_request', undefined],
    [{ argv: ['/etc/passwd'] }, 'permission_denied', 'forbidden', undefined],
    [{ argv: ['true'], cwd: '/nope' }, 'cwd_not_found', 'invalid_request', "cwd '/nope' does not exist"],
    [
      { argv: ['true'], user: 'nobody-here' },
      'unknown_user',
      'invalid_request',
      "invalid username: 'nobody-here'",
    ],
    [{ argv: [] }, 'invalid_argument', 'invalid_request', undefined],
    [{ argv: ['a\0b'] }, 'invalid_argument', 'invalid_request', undefined],
  ] as const)('a start that cannot be: %o', async (start, result, code, message) => {
    await expect(guest.startProcess(start)).rejects.toMatchObject({
      name: 'GuestError',
      result,
      code,
      ...(message === undefined ? {} : { message }),
    });
  });

  test('signals reach the process group', async () => {
    const process = await guest.startProcess({ argv: ['sh', '-c', 'sleep 1000 & echo up; wait'] });
    await new OutputReader(process).until('up\n');
    await process.signal(SIGTERM);
    expect(await process.exit).toEqual({ exitCode: -1, signal: SIGTERM, coreDumped: false });
    const other = await guest.startProcess({ argv: ['sleep', '1000'] });
    await guest.signalProcess(other.pid, SIGKILL);
    expect((await other.exit).signal).toBe(SIGKILL);
    await expect(guest.signalProcess(999_999, SIGTERM)).rejects.toMatchObject({
      result: 'no_such_process',
      code: 'not_found',
    });
  });

  test('a terminal has a size, can be resized and takes an end of file', async () => {
    const process = await guest.startProcess({ argv: ['sh'], terminal: { columns: 80, rows: 24 } });
    const reader = new OutputReader(process);
    await process.writeInput(Buffer.from('stty size\n'));
    await reader.until('24 80\r\n');
    await process.resize({ columns: 132, rows: 43 });
    await process.writeInput(Buffer.from('stty size\n'));
    await reader.until('43 132\r\n');
    await guest.resizeProcess(process.pid, { columns: 90, rows: 30 });
    await process.writeInput(Buffer.from('stty size; echo $TERM\n'));
    await reader.until('30 90\r\nxterm-256color\r\n');
    await process.closeInput();
    expect(await process.exit).toMatchObject({ exitCode: 0, signal: 0 });
    const piped = await guest.startProcess({ argv: ['cat'], input: true });
    await expect(piped.resize({ columns: 1, rows: 1 })).rejects.toMatchObject({
      result: 'failed_precondition',
    });
    await piped.closeInput();
    await piped.exit;
  });

  test('others can write to a process and close its input', async () => {
    const process = await guest.startProcess({ argv: ['cat'], input: true });
    const reader = new OutputReader(process);
    const first = await guest.openInput(process.pid);
    await first.write(Buffer.from('one\n'));
    await first.end();
    await reader.until('one\n');
    const second = await guest.openInput(process.pid, { closeAtEnd: true });
    await second.write(Buffer.from('two\n'));
    await second.end();
    await reader.until('two\n');
    expect((await process.exit).exitCode).toBe(0);
    const deaf = await guest.startProcess({ argv: ['sleep', '1000'] });
    const refused = await guest.openInput(deaf.pid);
    await expect(refused.end()).rejects.toMatchObject({
      result: 'failed_precondition',
      code: 'invalid_state',
    });
    await deaf.signal(SIGKILL);
    await deaf.exit;
  });

  test('hazard 12: 100 MB of output while nobody reads another flood, and requests are answered', async () => {
    const ignored = await guest.startProcess({ argv: ['sh', '-c', 'yes ignored'] });
    const flood = await guest.startProcess({ argv: ['head', '-c', '104857600', '/dev/zero'] });
    let received = 0;
    let zeros = true;
    let slowestMs = 0;
    const reading = (async () => {
      for await (const { data } of flood.output) {
        received += data.length;
        zeros &&= data[0] === 0 && data.at(-1) === 0;
      }
    })();
    let done = false;
    const asking = (async () => {
      while (!done) {
        const startMs = performance.now();
        await guest.stat('/');
        slowestMs = Math.max(slowestMs, performance.now() - startMs);
      }
    })();
    await reading;
    done = true;
    await asking;
    expect([received, zeros, (await flood.exit).exitCode]).toEqual([104_857_600, true, 0]);
    expect(slowestMs).toBeLessThan(2_000);
    const reader = new OutputReader(ignored);
    await reader.until('ignored\n');
    await ignored.signal(SIGKILL);
    ignored.discardOutput();
    expect((await ignored.exit).signal).toBe(SIGKILL);
  });

  test('a detached process lives on and its ring keeps what nobody read', async () => {
    const process = await guest.startProcess({
      argv: ['sh', '-c', 'echo one; read x; echo "two $x"; read y; echo "three $y"; exit 4'],
      input: true,
    });
    const reader = new OutputReader(process);
    await reader.until('one\n');
    await process.detach();
    await expect(process.exit).rejects.toMatchObject({
      code: 'cancelled',
      message: 'detached from the process',
    });
    const input = await guest.openInput(process.pid);
    await input.write(Buffer.from('a\n'));
    await input.end();

    const again = await guest.attachProcess(process.pid);
    const backlog = new OutputReader(again);
    await backlog.until('two a\n');
    await again.writeInput(Buffer.from('b\n'));
    await backlog.until('three b\n');
    expect((await again.exit).exitCode).toBe(4);

    const late = await outcome(await guest.attachProcess(process.pid));
    expect(late.stdout.toString()).toBe('one\ntwo a\nthree b\n');
    expect(late.exit.exitCode).toBe(4);
    const fromNow = await outcome(await guest.attachProcess(process.pid, { backlog: false }));
    expect([fromNow.stdout.length, fromNow.exit.exitCode]).toEqual([0, 4]);
    await expect(guest.attachProcess(999_999)).rejects.toMatchObject({ result: 'no_such_process' });
  });

  test('an attached process ends its input by closing it', async () => {
    const process = await guest.startProcess({ argv: ['cat'], input: true });
    await process.detach();
    const again = await guest.attachProcess(process.pid);
    await again.writeInput(Buffer.from('text'));
    await again.closeInput();
    expect((await outcome(again)).stdout.toString()).toBe('text');
  });

  test('processes survive the loss of the link, in the middle of a frame too', async () => {
    const first = await agent.connect();
    const process = await first.startProcess({
      argv: ['sh', '-c', 'echo up; read x; echo "got $x"'],
      input: true,
    });
    await new OutputReader(process).until('up\n');
    await first.link.close();

    const raw = await agent.connectRaw();
    const hello = Buffer.alloc(32);
    hello.set(HELLO_MAGIC);
    hello.writeUInt32LE(1, 16);
    hello.writeUInt32LE(4_711, 20);
    hello.writeUInt32LE(262_144, 24);
    raw.write(hello);
    await new Promise((resolve) => raw.once('data', resolve));
    const half = Buffer.alloc(100, 1);
    half.writeUInt32LE(30_000);
    half.writeUInt32LE(1, 4);
    half.writeUInt32LE(1, 8);
    await new Promise((resolve) => raw.write(half, resolve));
    raw.destroy();

    const second = await agent.connect();
    const again = await second.attachProcess(process.pid);
    const reader = new OutputReader(again);
    await reader.until('up\n');
    await again.writeInput(Buffer.from('there\n'));
    await reader.until('got there\n');
    expect((await again.exit).exitCode).toBe(0);
    await second.link.close();
    guest = await agent.connect();
  });
});
