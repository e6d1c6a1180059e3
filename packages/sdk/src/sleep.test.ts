import { expect, test } from 'vitest';
import { Client, Sandbox } from './index.js';
import {
  type Answer,
  apiError,
  json,
  noContent,
  ScriptedServer,
  type SeenRequest,
  wireSandbox,
  wireSnapshot,
} from './testing/scripted-server.js';

const ID = 'sb4f9k2m7q1x8c3v6b0n5z';
const options = (server: ScriptedServer) => ({ apiUrl: server.url, apiKey: 'dor_key' });
const seen = ({ method, url, body }: SeenRequest) => [method, url, body === '' ? '' : JSON.parse(body)];
const broken: Answer = (_request, response) => {
  response.destroy();
};

test('a sandbox is paused and resumed, and knows where it is', async () => {
  await using server = await ScriptedServer.start([
    json(200, wireSandbox()),
    json(200, { ...wireSandbox(), state: 'paused', paused_at: '2026-01-31T09:30:00.000Z' }),
    json(200, { ...wireSandbox(), resumed_by: 'memory' }),
  ]);
  const sandbox = await Sandbox.connect(ID, options(server));
  expect((await sandbox.pause()).pausedAt).toBe('2026-01-31T09:30:00.000Z');
  expect(sandbox.info.state).toBe('paused');
  expect((await sandbox.resume({ timeoutSec: 5, reboot: true })).resumedBy).toBe('memory');
  expect(sandbox.info.state).toBe('running');
  await sandbox.pause({ memory: false });
  expect(server.requests.slice(1).map(seen)).toEqual([
    ['POST', `/v1/sandboxes/${ID}/pause`, {}],
    ['POST', `/v1/sandboxes/${ID}/resume`, { timeout_sec: 5, reboot: true }],
    ['POST', `/v1/sandboxes/${ID}/pause`, { memory: false }],
  ]);
});

test('pausing and resuming are tried again over a broken connection, and an answer is final', async () => {
  await using server = await ScriptedServer.start([
    json(200, wireSandbox()),
    broken,
    json(200, { ...wireSandbox(), state: 'paused' }),
    apiError(503, 'restore_failed', 'the guest did not answer'),
  ]);
  const sandbox = await Sandbox.connect(ID, options(server));
  expect((await sandbox.pause()).state).toBe('paused');
  await expect(sandbox.resume()).rejects.toMatchObject({ code: 'restore_failed' });
  expect(server.requests).toHaveLength(4);
});

test('forks and snapshots are asked for once', async () => {
  await using server = await ScriptedServer.start([json(200, wireSandbox()), broken]);
  const sandbox = await Sandbox.connect(ID, options(server));
  await expect(sandbox.fork(2)).rejects.toMatchObject({ code: 'unavailable' });
  await expect(sandbox.snapshot()).rejects.toMatchObject({ code: 'unavailable' });
  expect(server.requests).toHaveLength(3);
});

test('each child of a fork is a sandbox of its own, or an error', async () => {
  const child = 'sb0000000000000000000b';
  await using server = await ScriptedServer.start([
    json(200, wireSandbox()),
    json(201, {
      results: [{ sandbox: wireSandbox(child) }, { error: { code: 'no_capacity', message: 'no memory' } }],
    }),
    noContent,
  ]);
  const sandbox = await Sandbox.connect(ID, options(server));
  const [first, second] = await sandbox.fork(2, { timeoutSec: 60 });
  expect(second?.error).toMatchObject({ code: 'no_capacity', message: 'no memory' });
  {
    await using made = first?.sandbox;
    expect(made?.id).toBe(child);
  }
  expect(server.requests.slice(1).map(seen)).toEqual([
    ['POST', `/v1/sandboxes/${ID}/fork`, { count: 2, timeout_sec: 60 }],
    ['DELETE', `/v1/sandboxes/${child}`, ''],
  ]);
});

test('moments are kept, listed, looked at and deleted', async () => {
  await using server = await ScriptedServer.start([
    json(200, wireSandbox()),
    json(201, wireSnapshot()),
    json(200, { snapshots: [wireSnapshot('a')], next_cursor: 'c2' }),
    json(200, { snapshots: [wireSnapshot('b')], next_cursor: null }),
    json(200, wireSnapshot()),
    noContent,
  ]);
  const client = new Client(options(server));
  const sandbox = await client.sandboxes.connect(ID);
  const snapshot = await sandbox.snapshot({ name: 'kept', overwrite: true, pause: true, description: 'x' });
  expect(snapshot).toMatchObject({ name: 'kept', sizeBytes: 1, sandboxId: ID });
  const names: string[] = [];
  for await (const { name } of client.snapshots.list({ type: 'snapshot' })) names.push(name);
  expect(names).toEqual(['a', 'b']);
  expect((await client.snapshots.get('a b')).lineage).toHaveLength(1);
  await client.snapshots.delete('kept');
  expect(server.requests.slice(1).map(seen)).toEqual([
    ['POST', '/v1/snapshots?overwrite=true', { sandbox_id: ID, name: 'kept', pause: true, description: 'x' }],
    ['GET', '/v1/snapshots?type=snapshot', ''],
    ['GET', '/v1/snapshots?type=snapshot&cursor=c2', ''],
    ['GET', '/v1/snapshots/a%20b', ''],
    ['DELETE', '/v1/snapshots/kept', ''],
  ]);
});
