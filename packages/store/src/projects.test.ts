import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EmbeddedPostgres, type NewProject, Store, startEmbeddedPostgres } from './index.js';

let dir: string;
let database: EmbeddedPostgres;
let store: Store;
let teams = 0;
let made = 0;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'dormouse-store-'));
  await chmod(dir, 0o711);
  database = await startEmbeddedPostgres({ dir: join(dir, 'pg') });
  store = await Store.open({ databaseUrl: database.databaseUrl });
}, 60_000);
afterAll(async () => {
  await store?.close();
  await database?.stop();
  await rm(dir, { recursive: true, force: true });
}, 60_000);

async function newTeam() {
  teams += 1;
  const digit = teams.toString(16);
  const teamId = await store.system.ensureLocalAccess({
    email: `user${teams}@example.org`,
    teamName: 'team',
    keyName: 'key',
    lookup: digit.repeat(8),
    hash: digit.repeat(64),
  });
  return store.forTeam(teamId);
}

function project(name: string): NewProject {
  made += 1;
  return {
    id: `pj${String(made).padStart(20, '0')}`,
    name,
    template: 'base',
    keepLast: 10,
    workspace: '/home/user',
    vcpus: null,
    memoryMb: null,
    timeoutSec: 0,
    internet: true,
    envs: {},
    metadata: {},
  };
}

const SAVE = { description: null, fileCount: 1, sizeBytes: 5_000_000_000, metadata: { a: 'b' } };

describe('hazard 14: a team', () => {
  test('sees, claims, changes and removes its own projects only', async () => {
    const [mine, yours] = [await newTeam(), await newTeam()];
    const { id } = await mine.projects.insert(project('p'));
    await yours.projects.insert(project('p'));
    const lease = { token: 'mine', ms: 60_000 };
    expect(await yours.projects.get(id)).toBeUndefined();
    expect(await yours.projects.claim(id, lease)).toBeUndefined();
    expect((await mine.projects.claim(id, lease))?.id).toBe(id);
    expect(await yours.projects.change(id, 'mine', { deleted: true })).toBeUndefined();
    expect(await yours.projects.renew(id, lease)).toBe(false);
    await yours.projects.release(id, 'mine');
    await yours.projects.remove(id, 'mine');
    expect((await mine.projects.get('p'))?.lease).toBe('mine');
    expect((await yours.projects.list({ limit: 9 })).items.map((item) => item.id)).not.toContain(id);
  });

  test('sees moments of its own projects only, and only those that are ready', async () => {
    const [mine, yours] = [await newTeam(), await newTeam()];
    const { id } = await mine.projects.insert(project('p'));
    const saveId = `sn${'1'.padStart(20, '0')}`;
    await mine.projectSaves.insert({ ...SAVE, id: saveId, projectId: id });
    expect(await mine.projectSaves.get(id, saveId)).toBeUndefined();
    const creating = await mine.snapshots.insert({
      id: saveId,
      name: 'moment',
      overwrite: false,
      sandboxId: 'sb00000000000000000001',
      template: 'base',
      imageId: 'img-1',
      vcpus: 1,
      memoryMb: 128,
      diskMb: 1024,
      diskOnly: false,
      description: null,
      parentId: null,
    });
    expect(await mine.projectSaves.all(id)).toEqual([]);
    expect(await mine.projectSaves.stateOf(saveId)).toBe('creating');
    await mine.snapshots.commit(creating, { ownBytes: 1, totalBytes: 1, diskOnly: false });
    expect(await mine.projectSaves.newest(id)).toMatchObject({
      id: saveId,
      file_count: '1',
      size_bytes: '5000000000',
      metadata: { a: 'b' },
      pinned: false,
    });
    await yours.projectSaves.pin(saveId, true);
    await yours.projectSaves.remove(saveId);
    expect(await yours.projectSaves.all(id)).toEqual([]);
    expect(await yours.projectSaves.stateOf(saveId)).toBeUndefined();
    expect((await mine.projectSaves.get(id, saveId))?.pinned).toBe(false);
    await mine.snapshots.beginDeleting(saveId);
    expect(await mine.projectSaves.all(id)).toEqual([]);
  });
});

test('names are unique while their project is there', async () => {
  const { projects } = await newTeam();
  const { id } = await projects.insert(project('p'));
  await expect(projects.insert(project('p'))).rejects.toMatchObject({
    code: 'already_exists',
    message: 'there is a project p already',
  });
  await projects.claim(id, { token: 't', ms: 60_000 });
  await projects.change(id, 't', { deleted: true });
  expect(await projects.get(id)).toBeUndefined();
  expect((await projects.insert(project('p'))).name).toBe('p');
});

test('hazard 8: of twenty that claim a project one holds it, until it lets go or its lease ends', async () => {
  const { projects } = await newTeam();
  const { id } = await projects.insert(project('p'));
  const claim = (token: string, ms: number) => projects.claim(id, { token, ms });
  const claims = await Promise.all(Array.from({ length: 20 }, (_, i) => claim(`t${i}`, 60_000)));
  const held = claims.filter((record) => record !== undefined);
  expect(held).toHaveLength(1);
  const token = held[0]!.lease!;
  expect(await projects.change(id, 'another', { sandboxId: 'x' })).toBeUndefined();
  expect((await projects.change(id, token, { headId: 'h' }))?.head_id).toBe('h');
  await projects.release(id, token);
  expect((await claim('brief', 1))?.head_id).toBe('h');
  await wait(5);
  expect((await claim('next', 60_000))?.lease).toBe('next');
  expect(await projects.change(id, 'brief', { headId: null })).toBeUndefined();
  expect(await projects.renew(id, { token: 'brief', ms: 1 })).toBe(false);
  expect(await projects.renew(id, { token: 'next', ms: 60_000 })).toBe(true);
});

test('hazard 16: moments without a snapshot are swept, except one that is being kept', async () => {
  const { projects, projectSaves } = await newTeam();
  const { id } = await projects.insert(project('p'));
  const [lost, pending] = [2, 3].map((digit) => `sn${String(digit).padStart(20, '0')}`) as [string, string];
  for (const saveId of [lost, pending]) await projectSaves.insert({ ...SAVE, id: saveId, projectId: id });
  await projects.claim(id, { token: 't', ms: 60_000 });
  await projects.change(id, 't', { pendingSaveId: pending });
  await store.system.projects.sweepSaves();
  // What is swept can be recorded again; what is not is there already.
  await projectSaves.insert({ ...SAVE, id: lost, projectId: id });
  await expect(projectSaves.insert({ ...SAVE, id: pending, projectId: id })).rejects.toThrow();
  expect(await store.system.projects.unfinished()).toEqual([]);
  await projects.release(id, 't');
  expect((await store.system.projects.unfinished()).map((unfinished) => unfinished.id)).toEqual([id]);
});
