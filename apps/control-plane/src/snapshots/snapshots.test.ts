import type { Sandbox, Snapshot } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import { SandboxState } from '@dormouse/host-api';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { reconcileOnce } from '../reconciler/reconcile.js';
import { ApiClient } from '../testing/api-client.js';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';
import { gate } from '../testing/gate.js';

interface SnapshotPage {
  readonly snapshots: Snapshot[];
  readonly next_cursor: string | null;
}

let plane: TestControlPlane;
let teamId: string;
let api: ApiClient;
let sandbox: Sandbox;
/** Ids of the snapshots that the host was told to delete. */
let deleted: string[];

beforeAll(async () => {
  plane = await startTestControlPlane();
}, 60_000);
afterAll(() => plane.close(), 60_000);
/** Every test has a team of its own. */
beforeEach(async () => {
  plane.host.reset();
  deleted = [];
  plane.host.script({
    deleteSnapshot: ({ id }) => {
      deleted.push(id);
      return {};
    },
  });
  const owner = await plane.newTeam();
  teamId = owner.teamId;
  api = new ApiClient(plane, owner.key);
  sandbox = await api.create();
  plane.host.script({
    listSandboxes: () => ({
      sandboxes: [{ id: sandbox.id, generation: 1n, state: SandboxState.RUNNING }],
    }),
  });
});

const take = (json: object = {}, query = '') => api.snapshot({ sandbox_id: sandbox.id, ...json }, query);
const get = async (name: string) => (await api.ask<Snapshot>('GET', `/v1/snapshots/${name}`)).body;
const list = async (query = '') => (await api.ask<SnapshotPage>('GET', `/v1/snapshots${query}`)).body;
const reconcile = () => reconcileOnce(plane.services);

describe('keeping a moment', () => {
  test('while the sandbox goes on', async () => {
    const asked: unknown[] = [];
    plane.host.script({
      createSnapshot: async ({ id, sandboxId, diskOnly }) => {
        asked.push({ sandboxId, diskOnly });
        expect((await api.sandbox(sandbox.id)).state).toBe('snapshotting');
        return { snapshot: { id, diskOnly, ownBytes: 7_000_000_000n, totalBytes: 8_000_000_000n } };
      },
    });
    const snapshot = await take({ name: 'first', description: 'a moment' });
    expect(snapshot).toEqual({
      id: expect.stringMatching(/^sn[a-z0-9]{20}$/),
      name: 'first',
      type: 'snapshot',
      description: 'a moment',
      memory: true,
      template: 'base',
      image_id: 'img-1',
      sandbox_id: sandbox.id,
      vcpus: 2,
      memory_mb: 512,
      disk_mb: 4096,
      size_bytes: 7_000_000_000,
      total_bytes: 8_000_000_000,
      parent: null,
      lineage: [{ id: 'img-1', name: 'base', type: 'base', deleted: false }],
      created_at: expect.any(String),
    });
    expect(asked).toEqual([{ sandboxId: sandbox.id, diskOnly: false }]);
    expect((await api.sandbox(sandbox.id)).state).toBe('running');
    expect(await get('first')).toEqual(snapshot);
    expect(await get(snapshot.id)).toEqual(snapshot);
  });

  test('without a name gives it one', async () => {
    expect((await take()).name).toMatch(/^template-[0-9a-f]{8}$/);
  });

  test('of the disk alone, and of a paused sandbox, which stays paused', async () => {
    await api.post(`/v1/sandboxes/${sandbox.id}/pause`);
    expect(await take({ memory: false })).toMatchObject({ memory: false });
    expect((await api.sandbox(sandbox.id)).state).toBe('paused');
  });

  test('can pause the sandbox with it, and its moment is the one it sleeps in', async () => {
    const seen: string[] = [];
    plane.host.script({
      createSnapshot: async ({ id, diskOnly }) => {
        seen.push((await api.sandbox(sandbox.id)).state);
        return { snapshot: { id, diskOnly } };
      },
    });
    await take({ name: 'asleep', pause: true });
    expect((await api.sandbox(sandbox.id)).state).toBe('paused');
    expect(await take({ name: 'again', pause: true, memory: false })).toMatchObject({ memory: false });
    expect(seen).toEqual(['paused', 'paused']);
  });

  test('hazard 5: that cannot pause it keeps nothing, and it runs on', async () => {
    plane.host.script({
      pauseSandbox: () => {
        throw new DormouseError('pause_failed', 'it would not stand still');
      },
    });
    expect(await api.refusal('POST', '/v1/snapshots', { sandbox_id: sandbox.id, pause: true })).toEqual({
      status: 503,
      code: 'pause_failed',
      message: 'it would not stand still',
    });
    expect((await api.sandbox(sandbox.id)).state).toBe('running');
    expect((await list('?type=snapshot')).snapshots).toEqual([]);
  });

  test('is refused for a sandbox that has ended, and with a description that is too long', async () => {
    const refused = (json: object) =>
      api.refusal('POST', '/v1/snapshots', { sandbox_id: sandbox.id, ...json });
    expect(await refused({ description: 'x'.repeat(1025) })).toMatchObject({
      status: 400,
      code: 'invalid_request',
    });
    plane.host.script({ listSandboxes: () => ({ sandboxes: [] }) });
    await reconcile();
    expect(await refused({})).toMatchObject({ status: 409, code: 'invalid_state' });
  });

  test('hazards 5 and 8: ten times at once under one name leaves one under it, and lets go of the others', async () => {
    const old = await take({ name: 'kept' });
    const others = await Promise.all(Array.from({ length: 3 }, () => api.create()));
    const taken = await Promise.all(
      [sandbox, ...others, sandbox, ...others, sandbox, sandbox].map(({ id }) =>
        api.snapshot({ sandbox_id: id, name: 'kept' }, '?overwrite=true'),
      ),
    );
    const ids = taken.map(({ id }) => id);
    expect(new Set(ids).size).toBe(10);
    const { id: last } = await get('kept');
    expect(ids).toContain(last);
    expect([...deleted].sort()).toEqual([old.id, ...ids.filter((id) => id !== last)].sort());
    expect((await list('?type=snapshot')).snapshots.map(({ id }) => id)).toEqual([last]);
  });

  test('is refused under the name of another snapshot or of a template, and under no name', async () => {
    await take({ name: 'taken' });
    const refused = (json: object, query = '') =>
      api.refusal('POST', `/v1/snapshots${query}`, { sandbox_id: sandbox.id, ...json });
    expect(await refused({ name: 'taken' })).toEqual({
      status: 409,
      code: 'already_exists',
      message: 'there is a snapshot taken already. Choose another name, or replace it with ?overwrite=true.',
    });
    for (const query of ['', '?overwrite=true']) {
      expect(await refused({ name: 'base' }, query)).toEqual({
        status: 409,
        code: 'already_exists',
        message: 'base is the name of a template. Choose another name.',
      });
    }
    for (const name of ['../x', '', 'a/b', 'sn4f9k2m7q1x8c3v6b0n5z']) {
      expect(await refused({ name })).toMatchObject({ status: 400, code: 'invalid_request' });
    }
    expect(await refused({}, '?overwrite=1')).toMatchObject({ status: 400 });
    expect((await api.sandbox(sandbox.id)).state).toBe('running');
  });

  test('hazard 5: under the name of another takes the name only when it is ready, and then the old one goes', async () => {
    const old = await take({ name: 'kept' });
    const begun = gate();
    const finish = gate();
    plane.host.script({
      createSnapshot: async ({ id }) => {
        begun.open();
        await finish.opened;
        return { snapshot: { id } };
      },
    });
    const taking = take({ name: 'kept' }, '?overwrite=true');
    await begun.opened;
    expect(await get('kept')).toEqual(old);
    expect(deleted).toEqual([]);
    finish.open();
    const next = await taking;
    expect((await get('kept')).id).toBe(next.id);
    expect(deleted).toEqual([old.id]);
    expect((await api.refusal('GET', `/v1/snapshots/${old.id}`)).code).toBe('not_found');
  });

  test('hazard 5: that fails leaves the old one, and nothing of the new one', async () => {
    const old = await take({ name: 'kept' });
    let failed = '';
    plane.host.script({
      createSnapshot: ({ id }) => {
        failed = id;
        throw new DormouseError('pause_failed', 'it would not stand still');
      },
    });
    const refusal = await api.refusal('POST', '/v1/snapshots?overwrite=true', {
      sandbox_id: sandbox.id,
      name: 'kept',
    });
    expect(refusal).toEqual({ status: 503, code: 'pause_failed', message: 'it would not stand still' });
    expect(await get('kept')).toEqual(old);
    expect(deleted).toEqual([failed]);
    expect((await api.sandbox(sandbox.id)).state).toBe('running');
    plane.host.reset();
    expect((await take({ name: 'kept' }, '?overwrite=true')).id).not.toBe(old.id);
  });
});

describe('spawning', () => {
  test('by name or id begins where the snapshot was taken, with its size', async () => {
    const { id: snapshotId } = await take({ name: 'mould' });
    const asked: unknown[] = [];
    plane.host.script({
      createSandbox: ({ id, generation, spec }) => {
        asked.push([spec?.template, spec?.vcpus, spec?.memoryMb, spec?.snapshotId]);
        return { sandbox: { id, generation, state: SandboxState.RUNNING } };
      },
    });
    const spawned = await api.create({ template: 'mould' });
    await api.create({ template: snapshotId, vcpus: 2, memory_mb: 512 });
    expect(spawned).toMatchObject({
      template: 'base',
      parent_snapshot: snapshotId,
      vcpus: 2,
      memory_mb: 512,
    });
    expect(asked).toEqual(Array.from({ length: 2 }, () => ['base', 2, 512, snapshotId]));
  });

  test.each([{ vcpus: 1 }, { memory_mb: 1024 }])('with another size is refused: %j', async (size) => {
    await take({ name: 'mould' });
    expect(await api.refusal('POST', '/v1/sandboxes', { template: 'mould', ...size })).toEqual({
      status: 409,
      code: 'invalid_state',
      message:
        'the snapshot mould was frozen with 2 vcpus and 512 MiB of memory. Leave vcpus and memory_mb out, or say the same.',
    });
  });

  test('is remembered by what is kept of the spawned, through deletions and forks', async () => {
    const first = await take({ name: 'first' });
    const spawned = await api.create({ template: 'first' });
    const fork = await api.post<{ results: { sandbox: Sandbox }[] }>(`/v1/sandboxes/${spawned.id}/fork`);
    const child = fork.body.results[0]!.sandbox;
    expect(child.parent_snapshot).toBe(first.id);
    const second = await api.snapshot({ sandbox_id: child.id, name: 'second' });
    expect(second.parent).toBe(first.id);
    await api.ask('DELETE', '/v1/snapshots/first');
    const expected = [
      { id: first.id, name: 'first', type: 'snapshot', deleted: true },
      { id: 'img-1', name: 'base', type: 'base', deleted: false },
    ];
    expect((await get('second')).lineage).toEqual(expected);
    expect((await list()).snapshots.map(({ name, lineage }) => [name, lineage])).toEqual([
      ['second', expected],
      ['base', []],
    ]);
  });
});

test('lists page through snapshots, newest first, and then the templates', async () => {
  for (const name of ['a', 'b', 'c']) await take({ name });
  plane.host.script({
    listTemplates: () => ({ templates: ['zebra', 'base', 'mouse'].map((name) => ({ name })) }),
  });
  const seen: string[][] = [];
  let cursor: string | null = null;
  do {
    const page: SnapshotPage = await list(`?limit=2${cursor === null ? '' : `&cursor=${cursor}`}`);
    seen.push(page.snapshots.map(({ name }) => name));
    cursor = page.next_cursor;
  } while (cursor !== null);
  expect(seen).toEqual([
    ['c', 'b'],
    ['a', 'base'],
    ['mouse', 'zebra'],
  ]);
  expect((await list('?type=snapshot')).snapshots.map(({ name }) => name)).toEqual(['c', 'b', 'a']);
  expect((await list('?type=base')).snapshots.map(({ name, type }) => [name, type])).toEqual([
    ['base', 'base'],
    ['mouse', 'base'],
    ['zebra', 'base'],
  ]);
  expect(await api.refusal('GET', '/v1/snapshots?type=x')).toMatchObject({ status: 400 });
  expect(await api.refusal('GET', '/v1/snapshots?cursor=x')).toMatchObject({ status: 400 });
});

describe('deleting', () => {
  test('frees the name at once, and is for snapshots only', async () => {
    const { id } = await take({ name: 'gone' });
    expect((await api.ask('DELETE', '/v1/snapshots/gone')).status).toBe(204);
    expect(deleted).toEqual([id]);
    const missing = { status: 404, code: 'not_found', message: 'there is no snapshot gone' };
    expect(await api.refusal('DELETE', '/v1/snapshots/gone')).toEqual(missing);
    expect(await api.refusal('GET', '/v1/snapshots/gone')).toEqual(missing);
    expect((await take({ name: 'gone' })).name).toBe('gone');
    expect(await api.refusal('DELETE', '/v1/snapshots/base')).toEqual({
      status: 409,
      code: 'invalid_state',
      message: 'base is a template, not a snapshot. Templates belong to the host and are used by all teams.',
    });
  });

  test('is done all the same when the host is away, and finished when it is back', async () => {
    const { id } = await take({ name: 'gone' });
    plane.host.script({
      deleteSnapshot: () => {
        throw new DormouseError('unavailable', 'the agent is restarting');
      },
    });
    expect((await api.ask('DELETE', `/v1/snapshots/${id}`)).status).toBe(204);
    expect((await api.refusal('GET', '/v1/snapshots/gone')).code).toBe('not_found');
    plane.host.script({
      deleteSnapshot: (request) => {
        deleted.push(request.id);
        return {};
      },
    });
    await reconcile();
    await reconcile();
    expect(deleted).toEqual([id]);
  });
});

describe('hazard 14: another team', () => {
  test('does not see, use, replace or delete a snapshot, whatever it calls it', async () => {
    const mine = await take({ name: 'mine' });
    const stranger = new ApiClient(plane, (await plane.newTeam()).key);
    for (const name of ['mine', mine.id]) {
      const missing = { status: 404, code: 'not_found', message: `there is no snapshot ${name}` };
      expect(await stranger.refusal('GET', `/v1/snapshots/${name}`)).toEqual(missing);
      expect(await stranger.refusal('DELETE', `/v1/snapshots/${name}`)).toEqual(missing);
      expect(await stranger.refusal('POST', '/v1/sandboxes', { template: name })).toMatchObject({
        status: 404,
        code: 'not_found',
      });
    }
    expect(await stranger.refusal('POST', '/v1/snapshots', { sandbox_id: sandbox.id })).toEqual({
      status: 404,
      code: 'not_found',
      message: `there is no sandbox ${sandbox.id}`,
    });
    const own = await stranger.create();
    await stranger.snapshot({ sandbox_id: own.id, name: 'mine' }, '?overwrite=true');
    const theirs = await stranger.ask<SnapshotPage>('GET', '/v1/snapshots?type=snapshot');
    expect(theirs.body.snapshots.map(({ sandbox_id }) => sandbox_id)).toEqual([own.id]);
    expect(await get('mine')).toEqual(mine);
    expect(deleted).toEqual([]);
  });

  test('and names that climb are unknown names', async () => {
    for (const name of ['..%2f..%2fetc', '%2e%2e%2fx', '.hidden']) {
      expect(await api.refusal('GET', `/v1/snapshots/${name}`)).toMatchObject({ status: 404 });
      expect(await api.refusal('DELETE', `/v1/snapshots/${name}`)).toMatchObject({ status: 404 });
    }
  });
});

describe('hazard 4: what a crash has left behind', () => {
  /** A row whose request did not live to see the host's answer. */
  async function orphan(name: string, overwrite = false): Promise<string> {
    const id = `sn${name.padEnd(20, '0')}`;
    await plane.services.store.forTeam(teamId).snapshots.insert({
      id,
      name,
      overwrite,
      sandboxId: sandbox.id,
      template: 'base',
      imageId: 'img-1',
      vcpus: 2,
      memoryMb: 512,
      diskMb: 4096,
      diskOnly: false,
      description: null,
      parentId: null,
    });
    return id;
  }
  const onHost = (...ids: string[]) =>
    plane.host.script({
      listSnapshots: () => ({ snapshots: ids.map((id) => ({ id, ownBytes: 5n, totalBytes: 6n })) }),
    });

  test('is finished where the host has it, and given up where not', async () => {
    const [made, never] = [await orphan('made'), await orphan('never')];
    onHost(made);
    await reconcile();
    expect(await get('made')).toMatchObject({ id: made, size_bytes: 5, total_bytes: 6 });
    expect((await api.refusal('GET', '/v1/snapshots/never')).code).toBe('not_found');
    expect(deleted).toEqual([never]);
    expect((await take({ name: 'never' })).name).toBe('never');
  });

  test('does not take a name that is another’s by now, unless that was asked for and the other is older', async () => {
    const old = await take({ name: 'swapped' });
    const [rude, wanted, stale] = [
      await orphan('raced'),
      await orphan('swapped', true),
      await orphan('newer', true),
    ];
    const winner = await take({ name: 'raced' }, '?overwrite=true');
    const newer = await take({ name: 'newer' }, '?overwrite=true');
    onHost(old.id, rude, wanted, stale, winner.id, newer.id);
    await reconcile();
    expect((await get('raced')).id).toBe(winner.id);
    expect((await get('swapped')).id).toBe(wanted);
    expect((await get('newer')).id).toBe(newer.id);
    expect(deleted.sort()).toEqual([old.id, rude, stale].sort());
  });

  test('comes after all, and is deleted then', async () => {
    const late = await orphan('late');
    onHost();
    await reconcile();
    onHost(late);
    await reconcile();
    expect(deleted).toEqual([late, late]);
  });
});

test('hazard 5: what is unknown to the database, or missing on the host, is left alone; sizes follow the host', async () => {
  const [present, missing] = [await take({ name: 'present' }), await take({ name: 'missing' })];
  plane.host.script({
    listSnapshots: () => ({
      snapshots: [
        { id: present.id, ownBytes: 123n, totalBytes: 456n },
        { id: 'snzzzzzzzzzzzzzzzzzzzz', ownBytes: 1n, totalBytes: 1n },
      ],
    }),
  });
  await reconcile();
  expect(deleted).toEqual([]);
  expect(await get('present')).toEqual({ ...present, size_bytes: 123, total_bytes: 456 });
  expect(await get('missing')).toEqual(missing);
});
