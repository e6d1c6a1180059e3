import { expect, test } from 'vitest';
import { Client } from './index.js';
import {
  type Answer,
  json,
  noContent,
  ScriptedServer,
  type SeenRequest,
  wireProject,
  wireProjectSnapshot,
  wireSandbox,
} from './testing/scripted-server.js';

const clientOf = (server: ScriptedServer) => new Client({ apiUrl: server.url, apiKey: 'dor_key' });
const seen = ({ method, url, body }: SeenRequest) => [method, url, body === '' ? '' : JSON.parse(body)];
const broken: Answer = (_request, response) => {
  response.destroy();
};
const opened = (changes: object = {}) => ({
  project: wireProject(),
  sandbox: wireSandbox(),
  restored_from: 'live',
  snapshot_id: null,
  restore_error: null,
  ...changes,
});

test('a project is made, listed, looked at and deleted', async () => {
  await using server = await ScriptedServer.start([
    json(201, wireProject()),
    json(200, { projects: [wireProject('a')], next_cursor: 'c2' }),
    json(200, { projects: [wireProject('b')], next_cursor: null }),
    json(200, wireProject()),
    noContent,
  ]);
  const { projects } = clientOf(server);
  expect(await projects.create({ name: 'thesis', keepLast: 3, memoryMb: 256 })).toMatchObject({
    keepLast: 10,
  });
  const names: string[] = [];
  for await (const { name } of projects.list()) names.push(name);
  expect(names).toEqual(['a', 'b']);
  expect((await projects.get('my thesis')).sandboxId).toBeNull();
  await projects.delete('thesis');
  expect(server.requests.map(seen)).toEqual([
    ['POST', '/v1/projects', { name: 'thesis', keep_last: 3, memory_mb: 256 }],
    ['GET', '/v1/projects', ''],
    ['GET', '/v1/projects?cursor=c2', ''],
    ['GET', '/v1/projects/my%20thesis', ''],
    ['DELETE', '/v1/projects/thesis', ''],
  ]);
});

test('opening answers a sandbox that can be used, where it began, and what failed before', async () => {
  await using server = await ScriptedServer.start([
    json(200, opened()),
    json(
      200,
      opened({
        restored_from: 'template',
        restore_error: { code: 'snapshot_corrupt', message: 'page 7 is damaged' },
      }),
    ),
    json(200, {
      stdout: 'hi',
      stderr: '',
      exit_code: 0,
      signal: null,
      duration_ms: 1,
      encoding: 'utf-8',
      truncated: false,
    }),
  ]);
  const { projects } = clientOf(server);
  expect(await projects.open('thesis')).toMatchObject({ restoredFrom: 'live', restoreError: null });
  const { sandbox, restoredFrom, snapshotId, restoreError } = await projects.open('thesis');
  expect([restoredFrom, snapshotId]).toEqual(['template', null]);
  expect(restoreError).toMatchObject({ code: 'snapshot_corrupt', message: 'page 7 is damaged' });
  {
    await using used = sandbox;
    expect((await used.exec('echo hi')).stdout).toBe('hi');
  }
  // Leaving the scope has not deleted it.
  expect(server.requests.map(({ method, url }) => [method, url])).toEqual([
    ['POST', '/v1/projects/thesis/open'],
    ['POST', '/v1/projects/thesis/open'],
    ['POST', `/v1/sandboxes/${sandbox.id}/exec`],
  ]);
});

test('moments are kept, listed and gone back to, and closing keeps one', async () => {
  await using server = await ScriptedServer.start([
    json(201, wireProjectSnapshot()),
    json(200, { snapshots: [wireProjectSnapshot()], next_cursor: null }),
    json(200, opened({ restored_from: 'snapshot', snapshot_id: 'sn4f9k2m7q1x8c3v6b0n5z' })),
    json(200, { project: wireProject(), snapshot: wireProjectSnapshot() }),
    json(200, { project: wireProject(), snapshot: null }),
  ]);
  const { projects } = clientOf(server);
  const kept = await projects.save('thesis', { description: 'x', metadata: { some_key: 'as it is' } });
  expect(kept).toMatchObject({ fileCount: 3, sizeMb: 1.5 });
  for await (const { id } of projects.snapshots('thesis')) expect(id).toBe(kept.id);
  expect((await projects.restore('thesis', kept.id)).snapshotId).toBe(kept.id);
  expect((await projects.close('thesis')).snapshot).toMatchObject({ id: kept.id, fileCount: 3 });
  expect((await projects.close('thesis')).snapshot).toBeNull();
  expect(server.requests.map(seen)).toEqual([
    ['POST', '/v1/projects/thesis/save', { description: 'x', metadata: { some_key: 'as it is' } }],
    ['GET', '/v1/projects/thesis/snapshots', ''],
    ['POST', '/v1/projects/thesis/restore', { snapshot_id: kept.id }],
    ['POST', '/v1/projects/thesis/close', ''],
    ['POST', '/v1/projects/thesis/close', ''],
  ]);
});

test('opening and closing are tried again over a broken connection, saving and restoring are not', async () => {
  await using server = await ScriptedServer.start([
    broken,
    json(200, opened()),
    broken,
    json(200, { project: wireProject(), snapshot: null }),
    broken,
  ]);
  const { projects } = clientOf(server);
  await projects.open('thesis');
  await projects.close('thesis');
  await expect(projects.save('thesis')).rejects.toMatchObject({ code: 'unavailable' });
  await expect(projects.restore('thesis', 'sn1')).rejects.toMatchObject({ code: 'unavailable' });
  expect(server.requests).toHaveLength(6);
});
