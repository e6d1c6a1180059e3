import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EmbeddedPostgres, type NewSnapshot, Store, startEmbeddedPostgres } from './index.js';
import { MAX_ANCESTORS } from './team-snapshots.js';

let dir: string;
let database: EmbeddedPostgres;
let store: Store;
let teams = 0;

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

async function newTeam(): Promise<string> {
  teams += 1;
  const digit = teams.toString(16);
  return store.system.ensureLocalAccess({
    email: `user${teams}@example.org`,
    teamName: 'team',
    keyName: 'key',
    lookup: digit.repeat(8),
    hash: digit.repeat(64),
  });
}

let made = 0;
function snapshot(name: string, changes: Partial<NewSnapshot> = {}): NewSnapshot {
  made += 1;
  return {
    id: `sn${String(made).padStart(20, '0')}`,
    name,
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
    ...changes,
  };
}

const SIZE = { ownBytes: 5_000_000_000, totalBytes: 6_000_000_000, diskOnly: false };

describe('hazard 14: a team', () => {
  test('sees, commits and deletes its own snapshots only', async () => {
    const mine = store.forTeam(await newTeam()).snapshots;
    const other = store.forTeam(await newTeam()).snapshots;
    const row = await mine.insert(snapshot('kept'));
    expect(await mine.get('kept')).toBeUndefined();
    expect(await other.commit(row, SIZE)).toBeUndefined();
    expect(await other.giveUp(row.id)).toBeUndefined();
    const committed = await mine.commit(row, SIZE);
    expect(committed).toMatchObject({
      snapshot: { id: row.id, state: 'ready', own_bytes: '5000000000', total_bytes: '6000000000' },
      replaced: undefined,
    });
    for (const key of ['kept', row.id]) {
      expect((await mine.get(key))?.id).toBe(row.id);
      expect(await other.get(key)).toBeUndefined();
      expect(await other.beginDeleting(key)).toBeUndefined();
    }
    expect((await other.list({ limit: 10 })).items).toEqual([]);
    expect((await other.ancestors([row.id])).get(row.id)).toEqual([]);
    expect((await mine.beginDeleting('kept'))?.id).toBe(row.id);
    expect(await mine.get(row.id)).toBeUndefined();
  });

  test('has names of its own', async () => {
    const mine = store.forTeam(await newTeam()).snapshots;
    const other = store.forTeam(await newTeam()).snapshots;
    const first = await mine.insert(snapshot('same'));
    const second = await other.insert(snapshot('same'));
    expect((await mine.commit(first, SIZE))?.snapshot.id).toBe(first.id);
    expect((await other.commit(second, SIZE))?.snapshot.id).toBe(second.id);
  });

  test('cannot take the name of a snapshot of another team by overwriting', async () => {
    const mine = store.forTeam(await newTeam()).snapshots;
    const other = store.forTeam(await newTeam()).snapshots;
    const first = await mine.insert(snapshot('same'));
    await mine.commit(first, SIZE);
    const second = await other.insert(snapshot('same', { overwrite: true }));
    expect((await other.commit(second, SIZE))?.replaced).toBeUndefined();
    expect((await mine.get('same'))?.id).toBe(first.id);
  });
});

describe('a name', () => {
  test('is one snapshot’s, also of two that are being taken at once', async () => {
    const { snapshots } = store.forTeam(await newTeam());
    const attempts = await Promise.allSettled(
      Array.from({ length: 10 }, () => snapshots.insert(snapshot('once'))),
    );
    const failed = attempts.filter((attempt) => attempt.status === 'rejected');
    expect(failed).toHaveLength(9);
    for (const { reason } of failed) expect(reason).toMatchObject({ code: 'already_exists' });
  });

  test('hazard 5: goes over only when the new snapshot is ready, and the old one is left to be deleted', async () => {
    const { snapshots } = store.forTeam(await newTeam());
    const old = await snapshots.insert(snapshot('swapped'));
    await snapshots.commit(old, SIZE);
    const next = await snapshots.insert(snapshot('swapped', { overwrite: true }));
    expect((await snapshots.get('swapped'))?.id).toBe(old.id);
    const committed = await snapshots.commit(next, SIZE);
    expect(committed).toMatchObject({
      snapshot: { id: next.id },
      replaced: { id: old.id, state: 'deleting' },
    });
    expect((await snapshots.get('swapped'))?.id).toBe(next.id);
    expect(await snapshots.commit(next, SIZE)).toBeUndefined();
    expect((await snapshots.get('swapped'))?.id).toBe(next.id);
  });

  test('that was taken meanwhile is not taken back by one that may not overwrite', async () => {
    const { snapshots } = store.forTeam(await newTeam());
    const slow = await snapshots.insert(snapshot('raced'));
    const quick = await snapshots.insert(snapshot('raced', { overwrite: true }));
    await snapshots.commit(quick, SIZE);
    await expect(snapshots.commit(slow, SIZE)).rejects.toMatchObject({ code: 'already_exists' });
    expect((await snapshots.get('raced'))?.id).toBe(quick.id);
    expect((await snapshots.giveUp(slow.id))?.state).toBe('deleting');
    await store.system.snapshots.finishDeleting(slow.id);
    await store.system.snapshots.finishDeleting(quick.id);
    const rows = await store.system.snapshots.toReconcile([slow.id]);
    expect(rows.filter(({ name }) => name === 'raced').map(({ id, state }) => [id, state])).toEqual([
      [slow.id, 'deleted'],
      [quick.id, 'ready'],
    ]);
  });
});

test('hazard 5: a build takes its name from an older build alone, also when its snapshot is finished by the reconciler', async () => {
  const { snapshots, templateBuilds } = store.forTeam(await newTeam());
  const builds: string[] = [];
  const made = async (name: string) => {
    const row = snapshot(name, { overwrite: true });
    const build = `tb${String(builds.length).padStart(20, '0')}`;
    builds.push(build);
    await templateBuilds.insert({ id: build, name, recipe: {}, from: 'base', stepCount: 0 });
    await templateBuilds.claim(build, { token: 'lease', ms: 60_000 });
    await templateBuilds.change(build, 'lease', { snapshotId: row.id });
    return await snapshots.insert(row);
  };
  const older = await made('built');
  const newer = await made('built');
  await snapshots.commit(newer, SIZE);
  await expect(snapshots.commit(older, SIZE)).rejects.toThrow('a newer build of built is ready already');
  expect(await snapshots.get('built')).toMatchObject({ id: newer.id, state: 'ready' });
  const newest = await made('built');
  expect((await snapshots.commit(newest, SIZE))?.replaced?.id).toBe(newer.id);

  const late = await made('own');
  await snapshots.commit(await snapshots.insert(snapshot('own', { overwrite: true })), SIZE);
  await expect(snapshots.commit(late, SIZE)).rejects.toThrow(
    'own is the name of a snapshot that was not built',
  );
  await expect(made('own')).rejects.toThrow('own is the name of a snapshot that was not built');
});

test('the line of descent is told from the nearest on, through what was deleted', async () => {
  const { snapshots } = store.forTeam(await newTeam());
  const ids: string[] = [];
  for (const name of ['root', 'middle', 'leaf']) {
    const row = await snapshots.insert(snapshot(name, { parentId: ids.at(-1) ?? null }));
    await snapshots.commit(row, SIZE);
    ids.push(row.id);
  }
  await snapshots.beginDeleting('middle');
  await store.system.snapshots.finishDeleting(ids[1]!);
  const lines = await snapshots.ancestors([ids[0]!, ids[2]!]);
  expect(lines.get(ids[0]!)).toEqual([]);
  expect(lines.get(ids[2]!)?.map(({ name, state }) => [name, state])).toEqual([
    ['middle', 'deleted'],
    ['root', 'ready'],
  ]);
  await store.system.snapshots.resize(ids[2]!, { ownBytes: 1, totalBytes: 2 });
  expect(await snapshots.get('leaf')).toMatchObject({ own_bytes: '1', total_bytes: '2' });
});

test('hazard 19: however long a line is, its nearest hundred are told', async () => {
  const { snapshots } = store.forTeam(await newTeam());
  const ids: string[] = [];
  for (let i = 0; i < MAX_ANCESTORS + 5; i++) {
    const { id } = await snapshots.insert(snapshot(`day-${i}`, { parentId: ids.at(-1) ?? null }));
    ids.push(id);
  }
  const line = (await snapshots.ancestors([ids.at(-1)!])).get(ids.at(-1)!);
  expect(line?.map(({ id }) => id)).toEqual(ids.slice(0, -1).reverse().slice(0, MAX_ANCESTORS));
});
