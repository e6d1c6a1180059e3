import { createHash, randomBytes, randomInt } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { type ExecRequestSchema, fromConnectError } from '@dormouse/host-api';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type AgentHost, agentHost, NOTHING } from '../testing/agent-process.js';
import { ExecCall, type Outcome } from '../testing/exec-call.js';

const SANDBOX = `sb${'e'.repeat(20)}`;
const MIB = 1024 * 1024;
/** For what happens in the guest after its cause, on a busy machine. */
const PATIENCE = { timeout: 60_000, interval: 50 } as const;

let agent: AgentHost;

beforeAll(async () => {
  agent = await agentHost();
  await agent.client.createSandbox({
    id: SANDBOX,
    generation: 1n,
    spec: { template: 'base', envs: { COLOUR: 'grün' } },
  });
});

afterAll(async () => {
  await agent.client.destroySandbox({ id: SANDBOX });
  const left = await agent.presence();
  await agent[Symbol.asyncDispose]();
  expect(left).toEqual(NOTHING);
});

function start(
  argv: readonly string[],
  options: Parameters<typeof ExecCall.start>[1] = {},
): Promise<ExecCall> {
  return ExecCall.start(agent.client, { sandboxId: SANDBOX, argv: [...argv], ...options });
}

async function shell(script: string, options: Parameters<typeof ExecCall.start>[1] = {}): Promise<Outcome> {
  return await (await start(['bash', '-c', script], options)).outcome();
}

async function text(script: string): Promise<string> {
  return (await shell(script)).stdout.toString('utf8');
}

/** How many processes have these words on their command line. */
async function countOf(words: string): Promise<number> {
  // The bracket keeps the search from finding itself.
  return Number(await text(`pgrep -fc '[${words[0]}]${words.slice(1)}'`));
}

describe('a command', () => {
  test('has its output, its exit code, its environment, its directory and its user', async () => {
    const outcome = await shell('echo "$COLOUR $SHAPE"; pwd; id -un; echo oops >&2; exit 42', {
      envs: { SHAPE: 'rund' },
      cwd: '/usr',
      user: 'root',
    });
    expect([outcome.exitCode, outcome.signal]).toEqual([42, 0]);
    expect(outcome.stdout.toString()).toBe('grün rund\n/usr\nroot\n');
    expect(outcome.stderr.toString()).toBe('oops\n');
  });

  test('without standard input reads nothing', async () => {
    expect(await text('cat; echo end')).toBe('end\n');
  });

  test.each([
    ['no program', ['no-such-program'], {}, 'invalid_request', 'no-such-program'],
    ['no directory', ['true'], { cwd: '/nowhere' }, 'invalid_request', "cwd '/nowhere' does not exist"],
    ['no user', ['true'], { user: 'nobody-at-all' }, 'invalid_request', "invalid username: 'nobody-at-all'"],
    ['no words', [], {}, 'invalid_request', 'argv is empty'],
    ['no sandbox', ['true'], { sandboxId: 'sbx' }, 'not_found', "there is no sandbox 'sbx' on this host"],
  ])('that has %s is refused', async (_name, argv, options, code, words) => {
    await expect(start(argv, options)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(words),
    });
  });

  test('is begun by start or attach, and by nothing else', async () => {
    await expect(
      ExecCall.open(agent.client, { case: 'stdin', value: Buffer.from('x') }),
    ).rejects.toMatchObject({
      code: 'invalid_request',
      message: 'the first message of an exec is start or attach',
    });
    const call = await start(['cat'], { stdin: true });
    call.send({ case: 'attach', value: { sandboxId: SANDBOX, pid: call.pid } });
    call.send({ case: 'closeStdin', value: {} });
    await expect.poll(() => countOf('cat'), PATIENCE).toBeGreaterThanOrEqual(0);
    await agent.client.signalProcess({ sandboxId: SANDBOX, pid: call.pid, signal: 9 }).catch(() => {});
    await expect(call.outcome()).rejects.toMatchObject({
      code: 'invalid_request',
      message: 'only the first message of an exec starts or attaches',
    });
  });

  test('that is not there cannot be attached to', async () => {
    await expect(ExecCall.attach(agent.client, SANDBOX, 4_194_304)).rejects.toMatchObject({
      code: 'not_found',
    });
  });
});

describe('hazard 13: bytes', () => {
  test('of every value go in and come out as they were', async () => {
    const bytes = Buffer.concat([Buffer.from(Array.from({ length: 256 }, (_, n) => n)), randomBytes(MIB)]);
    const call = await start(['cat'], { stdin: true });
    for (let at = 0; at < bytes.length; ) {
      const length = 1 + randomInt(40_000);
      call.write(bytes.subarray(at, at + length));
      at += length;
    }
    call.send({ case: 'closeStdin', value: {} });
    const { exitCode, stdout, stderr } = await call.outcome();
    expect([exitCode, stderr.length, stdout.equals(bytes)]).toEqual([0, 0, true]);
  });

  test('of half a character are not held back, nor made whole', async () => {
    const call = await start(['bash', '-c', "printf 'a\\303'; read go; printf '\\244\\377'"], {
      stdin: true,
    });
    const first = (await call.next())?.message;
    expect(first).toEqual({ case: 'stdout', value: new Uint8Array([0x61, 0xc3]) });
    call.write('go\n');
    expect((await call.outcome()).stdout).toEqual(Buffer.from([0xa4, 0xff]));
  });

  test('by the fifty million come out in order and complete', async () => {
    const blocks = 50 * 1024;
    const filler = 'x'.repeat(1_016);
    const call = await start([
      'python3',
      '-c',
      `import sys\nfor n in range(${blocks}): sys.stdout.write('%07d:${filler}' % n)`,
    ]);
    const expected = createHash('sha256');
    for (let n = 0; n < blocks; n++) expected.update(`${String(n).padStart(7, '0')}:${filler}`);
    const received = createHash('sha256');
    let length = 0;
    for (let event = await call.next(); event !== undefined; event = await call.next()) {
      if (event.message.case !== 'stdout') continue;
      received.update(event.message.value);
      length += event.message.value.length;
    }
    expect([length, received.digest('hex')]).toEqual([50 * MIB, expected.digest('hex')]);
  });
});

describe('a terminal', () => {
  test('has a size that changes, an echo, and takes its end-of-file character', async () => {
    const call = await start(
      ['bash', '-c', 'stty size; read word; stty size; echo "got $word"; cat; echo end'],
      {
        terminal: { cols: 80, rows: 24 },
      },
    );
    expect(await call.readUntil('24 80\r\n')).toBe('24 80\r\n');
    call.send({ case: 'resize', value: { cols: 132, rows: 50 } });
    call.write('wörd\n');
    expect(await call.readUntil('got wörd\r\n')).toBe('wörd\r\n50 132\r\ngot wörd\r\n');
    call.send({ case: 'closeStdin', value: {} });
    const { exitCode, terminal } = await call.outcome();
    expect(exitCode).toBe(0);
    expect(terminal.toString()).toMatch(/end\r\n$/);
  });

  test('turns its interrupt character into a signal for what runs in it', async () => {
    const call = await start(
      ['bash', '-c', 'trap "echo interrupted; exit 3" INT; echo ready; while :; do sleep 1; done'],
      {
        terminal: { cols: 80, rows: 24 },
      },
    );
    await call.readUntil('ready');
    call.write('\x03');
    const { exitCode, terminal } = await call.outcome();
    expect([exitCode, terminal.toString().includes('interrupted')]).toEqual([3, true]);
  });
});

describe('the end of a process', () => {
  const GROUP = (seconds: number): string => `sleep ${seconds} & sleep ${seconds} & echo ready; wait`;

  test('by a signal goes to its whole group and is told as what it was', async () => {
    const call = await start(['bash', '-c', GROUP(98_761)]);
    await call.readUntil('ready\n');
    expect(await countOf('sleep 98761')).toBe(3);
    call.send({ case: 'signal', value: 15 });
    expect(await call.outcome()).toMatchObject({ exitCode: -1, signal: 15 });
    await expect.poll(() => countOf('sleep 98761'), PATIENCE).toBe(0);
  });

  test('can come from another call', async () => {
    const call = await start(['sleep', '98762']);
    const { processes } = await agent.client.listProcesses({ sandboxId: SANDBOX });
    expect(processes).toContainEqual(
      expect.objectContaining({
        pid: call.pid,
        running: true,
        argv: ['sleep', '98762'],
        user: 'user',
        cwd: '/home/user',
      }),
    );
    await agent.client.signalProcess({ sandboxId: SANDBOX, pid: call.pid, signal: 9 });
    expect(await call.outcome()).toMatchObject({ exitCode: -1, signal: 9 });
    const again: unknown = await agent.client
      .signalProcess({ sandboxId: SANDBOX, pid: call.pid, signal: 9 })
      .catch(fromConnectError);
    expect(again).toMatchObject({ code: 'not_found' });
  });

  test('comes when its time is up, for the whole group, and the call fails with timeout', async () => {
    const call = await start(['bash', '-c', GROUP(98_763)], { timeoutMs: 3_000n });
    await expect(call.outcome()).rejects.toMatchObject({
      code: 'timeout',
      message: 'the command was ended after 3 s',
      suggestion: 'Allow it more time, or start it in the background.',
    });
    await expect.poll(() => countOf('sleep 98763'), PATIENCE).toBe(0);
  });

  test('does not come too late for a process that ends in time', async () => {
    expect(await shell('exit 5', { timeoutMs: 60_000n })).toMatchObject({ exitCode: 5 });
  });

  test('comes when the caller goes away, if it asked for that', async () => {
    const call = await start(['bash', '-c', GROUP(98_764)], { killOnDisconnect: true });
    await call.readUntil('ready\n');
    call.hangUp();
    await expect.poll(() => countOf('sleep 98764'), PATIENCE).toBe(0);
  });

  test('comes when the caller goes away before it knows that the process runs', async () => {
    for (let delayMs = 0; delayMs < 50; delayMs += 5) {
      const abort = new AbortController();
      const value = { sandboxId: SANDBOX, argv: ['sleep', '98765'], killOnDisconnect: true };
      const requests = async function* (): AsyncGenerator<MessageInitShape<typeof ExecRequestSchema>> {
        yield { message: { case: 'start', value } };
        await delay(delayMs);
        abort.abort();
      };
      const events = agent.client.exec(requests(), { signal: abort.signal })[Symbol.asyncIterator]();
      await events.next().catch(() => {});
      await events.next().catch(() => {});
    }
    // What was started before this is listed in order, so the list has settled when this is in it.
    expect(await text('echo settled')).toBe('settled\n');
    await expect.poll(() => countOf('sleep 98765'), PATIENCE).toBe(0);
  });

  test('does not come when the caller goes away otherwise, and another caller can take over', async () => {
    const call = await start(['bash', '-c', 'echo ready; read word; echo "got $word"; exit 9'], {
      stdin: true,
    });
    await call.readUntil('ready\n');
    call.hangUp();
    const other = await ExecCall.attach(agent.client, SANDBOX, call.pid);
    await other.readUntil('ready\n');
    other.write('hello\n');
    const { exitCode, stdout } = await other.outcome();
    expect([exitCode, stdout.toString()]).toEqual([9, 'got hello\n']);
  });
});

describe('hazard 12: a reader that does not read', () => {
  test('stops its own process, nobody else’s, and costs the agent no memory', async () => {
    const residentMib = async (): Promise<number> => {
      const status = await readFile(`/proc/${agent.pid}/status`, 'utf8');
      return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
    };
    expect(await text('echo idle')).toBe('idle\n');
    const before = await residentMib();
    const floods = await Promise.all(
      Array.from({ length: 5 }, () => start(['yes', 'flood'], { killOnDisconnect: true })),
    );
    // Once buffers are full the processes wait: their processor time stands still.
    const ticks = (): Promise<string> =>
      text(`cat ${floods.map(({ pid }) => `/proc/${pid}/stat`).join(' ')} | cut -d" " -f14,15`);
    let last = '';
    await expect
      .poll(async () => {
        const now = await ticks();
        const still = now === last;
        last = now;
        return still;
      }, PATIENCE)
      .toBe(true);
    for (let n = 0; n < 10; n++) expect(await text(`echo ${n}`)).toBe(`${n}\n`);
    expect((await residentMib()) - before).toBeLessThan(64);
    for (const flood of floods) flood.hangUp();
    await expect.poll(() => countOf('yes flood'), PATIENCE).toBe(0);
  });
});

describe('files', () => {
  const path = '/home/user/files/straße.bin';

  test('go in and come out byte by byte, in pieces too', async () => {
    const bytes = randomBytes(8 * MIB + 1);
    const { entry } = await agent.client.writeFile(
      (async function* () {
        yield { message: { case: 'start', value: { sandboxId: SANDBOX, path } } } as const;
        for (let at = 0; at < bytes.length; at += 100_000) {
          yield { message: { case: 'data', value: bytes.subarray(at, at + 100_000) } } as const;
        }
      })(),
    );
    expect(entry).toMatchObject({ path, name: 'straße.bin', size: 8_388_609n, owner: 'user', mode: 0o644 });
    const read = async (range: { readonly offset?: bigint; readonly length?: bigint }): Promise<Buffer> => {
      const pieces: Uint8Array[] = [];
      for await (const { message } of agent.client.readFile({ sandboxId: SANDBOX, path, ...range })) {
        if (message.case === 'data') pieces.push(message.value);
        else expect([message.case, pieces.length]).toEqual(['entry', 0]);
      }
      return Buffer.concat(pieces);
    };
    expect((await read({})).equals(bytes)).toBe(true);
    expect(
      (await read({ offset: 8_000_000n, length: 1_000n })).equals(bytes.subarray(8_000_000, 8_001_000)),
    ).toBe(true);
    expect(await read({ offset: 9_000_000n })).toHaveLength(0);
    expect(await text(`sha256sum < ${path}`)).toBe(
      `${createHash('sha256').update(bytes).digest('hex')}  -\n`,
    );
  });

  test('are listed, made, renamed and removed', async () => {
    const sandboxId = SANDBOX;
    await agent.client.makeDirectory({ sandboxId, path: 'tree/a/b', parents: true });
    await agent.client.renameFile({ sandboxId, from: 'tree/a/b', to: 'tree/c' });
    const names: string[] = [];
    for await (const { entries } of agent.client.listDirectory({ sandboxId, path: 'tree', depth: 5 })) {
      names.push(...entries.map((entry) => entry.path));
    }
    expect(names).toEqual(['/home/user/tree/a', '/home/user/tree/c']);
    await agent.client.removeFile({ sandboxId, path: 'tree', recursive: true });
    const gone: unknown = await agent.client.statFile({ sandboxId, path: 'tree' }).catch(fromConnectError);
    expect(gone).toMatchObject({ code: 'not_found' });
  });

  test('that are directories, or not there, are refused by code', async () => {
    const codeOf = async (path: string): Promise<string> => {
      try {
        for await (const _ of agent.client.readFile({ sandboxId: SANDBOX, path }));
        return 'no failure';
      } catch (error) {
        return fromConnectError(error).code;
      }
    };
    expect(await Promise.all([codeOf('/etc'), codeOf('/nowhere'), codeOf('/etc/hostname/x')])).toEqual([
      'invalid_request',
      'not_found',
      'invalid_request',
    ]);
  });
});

test('metrics and console tell of the guest', async () => {
  const { points } = await agent.client.getMetrics({ sandboxId: SANDBOX });
  const metrics = points.at(-1);
  expect(metrics?.cpuCount).toBe(1);
  expect(metrics?.memoryTotalBytes).toBeGreaterThan(400n * BigInt(MIB));
  expect(metrics?.memoryTotalBytes).toBeLessThanOrEqual(512n * BigInt(MIB));
  expect(metrics?.diskTotalBytes).toBeGreaterThan(7_000n * BigInt(MIB));
  await shell('echo seen on the console > /dev/ttyS0', { user: 'root' });
  await expect
    .poll(
      async () =>
        Buffer.from((await agent.client.readConsole({ sandboxId: SANDBOX })).data).toString('latin1'),
      PATIENCE,
    )
    .toContain('seen on the console\r\n');
});
