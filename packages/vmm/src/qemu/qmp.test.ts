import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { describe, expect, test } from 'vitest';
import { GREETING, type QmpPeer, scriptedQmp } from '../testing/scripted-qmp.js';
import { temporaryDirectory } from '../testing/temporary-directory.js';
import { QmpClient, type QmpEvent } from './qmp.js';

const PATIENCE_MS = 30_000;

/** What a failing promise failed with: code and message, which is what callers get to see. */
async function failure(promise: Promise<unknown>): Promise<readonly [string, string]> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof DormouseError) return [error.code, error.message];
    return ['not a DormouseError', String(error)];
  }
  return ['no failure', ''];
}

describe('connecting', () => {
  test('reads the version from the greeting and negotiates capabilities', async () => {
    await using qmp = await scriptedQmp({});
    const client = await QmpClient.connect(qmp.path, PATIENCE_MS);
    expect(client.version).toBe('7.2.22');
    expect(qmp.commands).toEqual([{ execute: 'qmp_capabilities', id: 1 }]);
    client.close();
    await client.closed;
  });

  test('waits for a socket that does not exist yet', async () => {
    await using qmp = await scriptedQmp({});
    await using directory = await temporaryDirectory();
    const late = join(directory.path, 'late.sock');
    const connecting = QmpClient.connect(late, PATIENCE_MS);
    const { symlink } = await import('node:fs/promises');
    await symlink(qmp.path, late);
    const client = await connecting;
    expect(client.version).toBe('7.2.22');
    client.close();
  });

  test('gives up when nothing listens in time', async () => {
    await using directory = await temporaryDirectory();
    expect(await failure(QmpClient.connect(join(directory.path, 'none'), 20))).toEqual([
      'boot_failed',
      "the VM's control socket did not answer within 20 ms",
    ]);
  });

  test('gives up at once on what is no socket', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'directory-component');
    await writeFile(path, '');
    expect(await failure(QmpClient.connect(join(path, 'sock'), PATIENCE_MS))).toEqual([
      'boot_failed',
      `the VM's control socket did not answer within ${PATIENCE_MS} ms`,
    ]);
  });

  test('stops retrying when it is aborted', async () => {
    await using directory = await temporaryDirectory();
    const abort = new AbortController();
    const connecting = QmpClient.connect(join(directory.path, 'none'), PATIENCE_MS, abort.signal);
    abort.abort();
    await expect(connecting).rejects.toThrow('abort');
  });

  test('gives up on a server that stays silent', async () => {
    await using qmp = await scriptedQmp({ connected: () => {} });
    expect(await failure(QmpClient.connect(qmp.path, 30))).toEqual([
      'boot_failed',
      'the VM did not greet within 30 ms',
    ]);
  });

  test('gives up on a server that hangs up instead of greeting', async () => {
    await using qmp = await scriptedQmp({ connected: ({ socket }) => socket.end() });
    expect(await failure(QmpClient.connect(qmp.path, PATIENCE_MS))).toEqual([
      'boot_failed',
      'the VM closed its control socket unasked',
    ]);
  });

  test('refuses a greeting that is not JSON', async () => {
    await using qmp = await scriptedQmp({ connected: ({ socket }) => socket.write('SSH-2.0-OpenSSH_9.2\n') });
    expect(await failure(QmpClient.connect(qmp.path, PATIENCE_MS))).toEqual([
      'boot_failed',
      'the VM closed its control socket unasked',
    ]);
  });

  test('refuses JSON that is not a greeting', async () => {
    await using qmp = await scriptedQmp({ connected: (peer) => peer.send({ QMP: { version: 7 } }) });
    expect(await failure(QmpClient.connect(qmp.path, PATIENCE_MS))).toEqual([
      'boot_failed',
      'what answers at the control socket is not QEMU',
    ]);
  });

  test('takes a greeting that arrives byte by byte', async () => {
    await using qmp = await scriptedQmp({
      connected: ({ socket }) => {
        const sendRest = (rest: string): void => {
          if (rest !== '') socket.write(rest.slice(0, 1), () => setImmediate(sendRest, rest.slice(1)));
        };
        sendRest(GREETING);
      },
    });
    const client = await QmpClient.connect(qmp.path, PATIENCE_MS);
    expect(client.version).toBe('7.2.22');
    client.close();
  });
});

describe('commands', () => {
  test('answers go to the command with their id, in whatever order they come', async () => {
    const held: { id: number; peer: QmpPeer }[] = [];
    await using qmp = await scriptedQmp({
      command: ({ id }, peer) => {
        held.push({ id, peer });
        if (held.length < 2) return;
        for (const command of held.toReversed())
          command.peer.send({ return: { at: command.id }, id: command.id });
      },
    });
    const client = await QmpClient.connect(qmp.path, PATIENCE_MS);
    const [first, second] = await Promise.all([client.execute('stop'), client.execute('cont')]);
    expect([first, second]).toEqual([{ at: 2 }, { at: 3 }]);
    expect(qmp.commands.slice(1)).toEqual([
      { execute: 'stop', id: 2 },
      { execute: 'cont', id: 3 },
    ]);
    client.close();
  });

  test("a refusal fails the command with QEMU's own words", async () => {
    await using qmp = await scriptedQmp({
      command: ({ id }, peer) =>
        peer.send({ error: { class: 'GenericError', desc: 'Guest has panicked' }, id }),
    });
    const client = await QmpClient.connect(qmp.path, PATIENCE_MS);
    expect(await failure(client.execute('cont'))).toEqual([
      'internal',
      'QEMU refused cont: Guest has panicked',
    ]);
    client.close();
  });

  test('a command without an answer times out, and its late answer is ignored', async () => {
    let late: (() => void) | undefined;
    await using qmp = await scriptedQmp({
      command: ({ execute, id }, peer) => {
        if (execute === 'stop') late = () => peer.send({ return: 'too late', id });
        else {
          late?.();
          peer.send({ return: { status: 'paused', running: false }, id });
        }
      },
    });
    const client = await QmpClient.connect(qmp.path, PATIENCE_MS);
    expect(await failure(client.execute('stop', undefined, 20))).toEqual([
      'timeout',
      'QEMU did not answer stop within 20 ms',
    ]);
    expect(await client.execute('query-status')).toEqual({ status: 'paused', running: false });
    client.close();
  });

  test('answers to nobody and errors without an id are ignored', async () => {
    await using qmp = await scriptedQmp({
      command: ({ id }, peer) => {
        peer.send({ return: {}, id: 4_711 });
        peer.send({ error: { class: 'GenericError', desc: 'Expecting a JSON object' } });
        peer.send({ return: 'right', id });
      },
    });
    const client = await QmpClient.connect(qmp.path, PATIENCE_MS);
    expect(await client.execute('stop')).toBe('right');
    client.close();
  });

  test('every command in flight fails when the connection is lost, and so does every later one', async () => {
    await using qmp = await scriptedQmp({
      command: ({ execute }, { socket }) => {
        if (execute === 'cont') socket.destroy();
      },
    });
    const client = await QmpClient.connect(qmp.path, PATIENCE_MS);
    const outcomes = await Promise.all([failure(client.execute('stop')), failure(client.execute('cont'))]);
    expect(outcomes).toEqual([
      ['unavailable', 'the VM ended before it answered stop'],
      ['unavailable', 'the VM ended before it answered cont'],
    ]);
    await client.closed;
    expect(await failure(client.execute('quit'))).toEqual([
      'unavailable',
      'the VM ended before it answered quit',
    ]);
  });

  test.each([
    ['text that is not JSON', 'garbage\n'],
    ['JSON that is no message', '{"hello": 1}\n'],
    ['binary', Buffer.from([0, 255, 254, 10])],
  ])('hazard 15: %s ends the connection', async (_name, bytes) => {
    await using qmp = await scriptedQmp({ command: (_command, { socket }) => socket.write(bytes) });
    const client = await QmpClient.connect(qmp.path, PATIENCE_MS);
    expect(await failure(client.execute('stop'))).toEqual([
      'unavailable',
      'the VM ended before it answered stop',
    ]);
    await client.closed;
  });

  test('hazard 15: a line of 5 MB ends the connection', async () => {
    const line = `{"return": "${'x'.repeat(5 * 1024 * 1024)}", "id": 2}\n`;
    await using qmp = await scriptedQmp({ command: (_command, { socket }) => socket.write(line) });
    const client = await QmpClient.connect(qmp.path, PATIENCE_MS);
    expect(await failure(client.execute('stop'))).toEqual([
      'unavailable',
      'the VM ended before it answered stop',
    ]);
  });

  test('a line of 3 MB is taken whole', async () => {
    const words = 'x'.repeat(3 * 1024 * 1024);
    await using qmp = await scriptedQmp({ command: ({ id }, peer) => peer.send({ return: words, id }) });
    const client = await QmpClient.connect(qmp.path, PATIENCE_MS);
    expect(await client.execute('stop')).toBe(words);
    client.close();
  });
});

describe('events', () => {
  test('reach every listener until it is taken away, also between the halves of an answer', async () => {
    await using qmp = await scriptedQmp({
      command: ({ id }, { socket }) => {
        const answer = JSON.stringify({ return: id, id });
        socket.write('{"event": "STOP"}\r\n\r\n{"event": "SHUTDOWN", "data": {"guest": true}}\r\n');
        socket.write(answer.slice(0, 5), () => setImmediate(() => socket.write(`${answer.slice(5)}\r\n`)));
      },
    });
    const client = await QmpClient.connect(qmp.path, PATIENCE_MS);
    const always: QmpEvent[] = [];
    const once: QmpEvent[] = [];
    client.onEvent((event) => always.push(event));
    const stopListening = client.onEvent((event) => once.push(event));
    expect(await client.execute('stop')).toBe(2);
    stopListening();
    expect(await client.execute('cont')).toBe(3);
    const pair = [
      { name: 'STOP', data: {} },
      { name: 'SHUTDOWN', data: { guest: true } },
    ];
    expect(always).toEqual([...pair, ...pair]);
    expect(once).toEqual(pair);
    client.close();
  });
});
