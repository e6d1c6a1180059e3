import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  decodeCursor,
  type EmbeddedPostgres,
  encodeCursor,
  type NewSandbox,
  Store,
  startEmbeddedPostgres,
} from './index.js';

let dir: string;
let database: EmbeddedPostgres;
let store: Store;
let ours: string;
let theirs: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'dormouse-store-'));
  await chmod(dir, 0o711);
  database = await startEmbeddedPostgres({ dir: join(dir, 'pg') });
  // Two at once, on a database that has nothing yet.
  const [first, second] = await Promise.all([
    Store.open({ databaseUrl: database.databaseUrl }),
    Store.open({ databaseUrl: database.databaseUrl }),
  ]);
  await second.close();
  store = first;
  ours = await access('1', 'us@example.org');
  theirs = await access('2', 'them@example.org');
  await store.system.upsertHost({
    id: 'host-1',
    agentVersion: '1',
    accelerator: 'tcg',
    cpuCount: 1,
    memoryTotalMb: 1,
  });
}, 60_000);
afterAll(async () => {
  await store?.close();
  await database?.stop();
  await rm(dir, { recursive: true, force: true });
}, 60_000);

function access(digit: string, email: string): Promise<string> {
  return store.system.ensureLocalAccess({
    email,
    teamName: 'default',
    keyName: 'first',
    lookup: digit.repeat(8),
    hash: digit.repeat(64),
  });
}

let made = 0;
function sandbox(changes: Partial<NewSandbox> = {}): NewSandbox {
  made += 1;
  return {
    id: `sb${String(made).padStart(20, '0')}`,
    template: 'base',
    imageId: 'img-1',
    vcpus: 1,
    memoryMb: 128,
    diskMb: 1024,
    timeoutSec: 0,
    onTimeout: 'pause',
    onMemoryLoss: 'reboot',
    internet: true,
    envs: { A: 'b' },
    metadata: {},
    hostId: 'host-1',
    ...changes,
  };
}

describe('hazard 14: a team', () => {
  test('sees, changes and hides its own sandboxes only', async () => {
    const mine = store.forTeam(ours).sandboxes;
    const other = store.forTeam(theirs).sandboxes;
    const record = await mine.insert(sandbox());
    expect(await mine.get(record.id)).toEqual({ ...record, host_state: 'online' });
    expect(record).toMatchObject({ team_id: ours, state: 'pending', generation: 1 });
    expect(await mine.envsOf(record.id)).toEqual({ A: 'b' });
    expect(await other.envsOf(record.id)).toBeUndefined();

    expect(await other.get(record.id)).toBeUndefined();
    expect((await other.list({ limit: 10 })).items).toEqual([]);
    expect(await other.transition({ id: record.id, from: record, to: 'error' })).toBeUndefined();
    const failed = await mine.transition({ id: record.id, from: record, to: 'error' });
    expect(failed?.state).toBe('error');
    expect(await other.hideEnded(record.id)).toBe(false);
    expect(await mine.hideEnded(record.id)).toBe(true);
    expect(await mine.hideEnded(record.id)).toBe(false);
    expect(await mine.get(record.id)).toBeUndefined();
  });

  test('sees and deletes its own keys only', async () => {
    const [key] = (await store.forTeam(ours).apiKeys.list({ limit: 10 })).items;
    expect(key).toMatchObject({ name: 'first', lookup: '11111111' });
    expect(await store.forTeam(theirs).apiKeys.delete(key!.id)).toBe(false);
    expect(await store.forTeam(ours).apiKeys.delete('no uuid')).toBe(false);
  });
});

describe('transitions', () => {
  test('hazard 8: of fifty that want the same move one succeeds', async () => {
    const { sandboxes } = store.forTeam(ours);
    const record = await sandboxes.insert(sandbox());
    const moves = await Promise.all(
      Array.from({ length: 50 }, () => sandboxes.transition({ id: record.id, from: record, to: 'running' })),
    );
    expect(moves.filter((move) => move !== undefined)).toHaveLength(1);
  });

  test('an old generation cannot move a new one, and illegal moves are refused outright', async () => {
    const { sandboxes } = store.forTeam(ours);
    const pending = await sandboxes.insert(sandbox());
    const running = (await sandboxes.transition({ id: pending.id, from: pending, to: 'running' }))!;
    const pausing = (await sandboxes.transition({ id: pending.id, from: running, to: 'pausing' }))!;
    const paused = (await sandboxes.transition({ id: pending.id, from: pausing, to: 'paused' }))!;
    const resuming = (await sandboxes.transition({ id: pending.id, from: paused, to: 'resuming' }))!;
    const again = (await sandboxes.transition({ id: pending.id, from: resuming, to: 'running' }))!;
    expect(again.generation).toBe(2);
    const stale = { id: pending.id, from: running, to: 'stopped' } as const;
    expect(await store.system.transition(stale)).toBeUndefined();
    await expect(sandboxes.transition({ id: pending.id, from: again, to: 'paused' })).rejects.toThrow(
      'a sandbox that is running cannot become paused',
    );
    expect((await sandboxes.get(pending.id))?.state).toBe('running');
  });

  test('carry reason, times and the wish to be deleted', async () => {
    const { sandboxes } = store.forTeam(ours);
    const pending = await sandboxes.insert(sandbox());
    const startedAt = new Date('2026-01-01T00:00:00.123Z');
    const running = (await sandboxes.transition({
      id: pending.id,
      from: pending,
      to: 'running',
      changes: { startedAt, lastActiveAt: startedAt, reason: 'adopted' },
    }))!;
    expect(running).toMatchObject({ started_at: startedAt, last_active_at: startedAt, reason: 'adopted' });
    const stopping = (await sandboxes.transition({
      id: pending.id,
      from: running,
      to: 'stopping',
      changes: { deleted: true },
    }))!;
    expect((await sandboxes.get(pending.id))?.state).toBe('stopping');
    await sandboxes.transition({ id: pending.id, from: stopping, to: 'stopped' });
    expect(await sandboxes.get(pending.id)).toBeUndefined();
  });
});

test('a host is followed by compare-and-swap, and a note changes nothing else', async () => {
  const { sandboxes } = store.forTeam(ours);
  const pending = await sandboxes.insert(sandbox({ parentSnapshot: 'sn00000000000000000001' }));
  expect(pending.parent_snapshot).toBe('sn00000000000000000001');
  const running = (await sandboxes.transition({ id: pending.id, from: pending, to: 'running' }))!;
  const pausedAt = new Date('2026-01-01T00:00:00.123Z');
  const follow = { id: pending.id, from: running, to: { state: 'paused', generation: 1 } } as const;
  const paused = (await store.system.follow({ ...follow, changes: { pausedAt, reason: 'by itself' } }))!;
  expect(paused).toMatchObject({ state: 'paused', generation: 1, paused_at: pausedAt, reason: 'by itself' });
  expect(await store.system.follow(follow)).toBeUndefined();
  const awake = await store.system.follow({
    id: pending.id,
    from: paused,
    to: { state: 'running', generation: 2 },
    changes: { pausedAt: null, resumedBy: 'memory', reason: null },
  });
  expect(awake).toMatchObject({ state: 'running', generation: 2, paused_at: null, resumed_by: 'memory' });
  await expect(
    store.system.follow({ id: pending.id, from: awake!, to: { state: 'paused', generation: 1 } }),
  ).rejects.toMatchObject({ code: 'invalid_state' });
  await store.system.note(pending.id, running, 'late');
  expect((await sandboxes.get(pending.id))?.reason).toBeNull();
  await store.system.note(pending.id, awake!, 'now');
  expect(await sandboxes.get(pending.id)).toEqual({ ...awake, host_state: 'online', reason: 'now' });
  const policy = { timeoutSec: 60, onMemoryLoss: 'fail' } as const;
  expect(await sandboxes.setPolicy(pending.id, policy)).toMatchObject({
    timeout_sec: 60,
    on_memory_loss: 'fail',
  });
  expect(await store.forTeam(theirs).sandboxes.setPolicy(pending.id, policy)).toBeUndefined();
});

test('lists page through rows of the same millisecond without gap or repetition', async () => {
  const team = await access('3', 'pages@example.org');
  const { sandboxes } = store.forTeam(team);
  const ids = new Set(
    (await Promise.all(Array.from({ length: 25 }, () => sandboxes.insert(sandbox())))).map(({ id }) => id),
  );
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await sandboxes.list({ limit: 4, cursor });
    seen.push(...page.items.map(({ id }) => id));
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);
  expect(seen).toHaveLength(25);
  expect(new Set(seen)).toEqual(ids);
});

test('cursors are of this database or refused', () => {
  const position = { createdAt: new Date(1_767_225_600_123), id: 'sb1' };
  expect(decodeCursor(encodeCursor(position))).toEqual(position);
  for (const cursor of ['', 'x', encodeCursor({ createdAt: new Date(0), id: "'; drop" })]) {
    expect(() => decodeCursor(cursor)).toThrow('cursor: must be the next_cursor of an earlier page');
  }
});

test('local access is made once and found again, however many start at once', async () => {
  const teams = await Promise.all(Array.from({ length: 5 }, () => access('4', 'twice@example.org')));
  expect(new Set(teams).size).toBe(1);
  const second = await store.system.ensureLocalAccess({
    email: 'twice@example.org',
    teamName: 'ignored',
    keyName: 'second',
    lookup: '55555555',
    hash: '5'.repeat(64),
  });
  expect(second).toBe(teams[0]);
  expect((await store.forTeam(second).apiKeys.list({ limit: 10 })).items).toHaveLength(2);
});

test('activity only moves forward, and states are counted', async () => {
  const team = await access('6', 'count@example.org');
  const { sandboxes } = store.forTeam(team);
  const before = await store.system.countSandboxes();
  const { id } = await sandboxes.insert(sandbox());
  const later = new Date('2026-01-01T00:00:10Z');
  await store.system.touch(id, later);
  await store.system.touch(id, new Date('2026-01-01T00:00:05Z'));
  expect((await sandboxes.get(id))?.last_active_at).toEqual(later);
  expect((await store.system.countSandboxes()).pending).toBe(before.pending + 1);
});
