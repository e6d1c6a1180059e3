import { setTimeout as wait } from 'node:timers/promises';
import type {
  ClosedProject,
  OpenedProject,
  Project,
  ProjectList,
  ProjectSnapshot,
  ProjectSnapshotList,
  Sandbox,
} from '@dormouse/contracts';
import { DormouseError, type ErrorCode } from '@dormouse/errors';
import type { ExecRequest, ExecStart } from '@dormouse/host-api';
import { SandboxState } from '@dormouse/host-api';
import { Store, type TeamScope } from '@dormouse/store';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Services } from '../context.js';
import { reconcileOnce } from '../reconciler/reconcile.js';
import { InFlight } from '../sandboxes/in-flight.js';
import { Operations } from '../sandboxes/operations.js';
import { ApiClient } from '../testing/api-client.js';
import { startTestControlPlane, type TestControlPlane, type TestTeam } from '../testing/control-plane.js';
import { interceptDatabase } from '../testing/database-faults.js';
import { gate } from '../testing/gate.js';
import { closeProject } from './close.js';
import { openProject } from './open.js';
import { repairProjects } from './repair.js';
import { restoreProject } from './restore.js';

let plane: TestControlPlane;
/** Another control plane on the same database and host. */
let other: Services;
let owner: TestTeam;
let api: ApiClient;
let team: TeamScope;
/** What the host was asked to make, as snapshot ids; '' is the template. */
let made: string[];
/** Ids of the sandboxes and snapshots that the host was told to end. */
let ended: string[];
let counts: { argv: string[]; user: string }[];

beforeAll(async () => {
  plane = await startTestControlPlane();
  const { databaseUrl } = plane;
  const store = await Store.open({ databaseUrl, poolSize: 4 });
  other = { ...plane.services, store, inFlight: new InFlight(), operations: new Operations() };
}, 60_000);
afterAll(async () => {
  await other.store.close();
  await plane.close();
}, 60_000);

/** Every test has a team of its own. */
beforeEach(async () => {
  plane.host.reset();
  [made, ended, counts] = [[], [], []];
  plane.host.script({
    ...recordedCreate(),
    getSandbox: ({ id }) => ({ sandbox: { id, state: SandboxState.RUNNING } }),
    destroySandbox: ({ id }) => {
      ended.push(id);
      return {};
    },
    deleteSnapshot: ({ id }) => {
      ended.push(id);
      return {};
    },
    exec: async function* (requests) {
      const first = (await requests[Symbol.asyncIterator]().next()).value as ExecRequest;
      const { argv, user } = first.message.value as ExecStart;
      counts.push({ argv, user });
      yield { message: { case: 'started' as const, value: { pid: 7 } } };
      yield { message: { case: 'stdout' as const, value: Buffer.from('128 3407872\n') } };
      yield { message: { case: 'exited' as const, value: { exitCode: 0, signal: 0 } } };
    },
  });
  owner = await plane.newTeam();
  api = new ApiClient(plane, owner.key);
  team = plane.services.store.forTeam(owner.teamId);
});

const make = async (json: object = {}): Promise<Project> =>
  (await api.post<Project>('/v1/projects', { name: 'thesis', ...json })).body;
const get = async (id: string) => (await api.ask<Project>('GET', `/v1/projects/${id}`)).body;
const open = async (id: string) => (await api.post<OpenedProject>(`/v1/projects/${id}/open`)).body;
const save = async (id: string, json: object = {}) =>
  (await api.post<ProjectSnapshot>(`/v1/projects/${id}/save`, json)).body;
const restore = async (id: string, snapshot_id: string) =>
  (await api.post<OpenedProject>(`/v1/projects/${id}/restore`, { snapshot_id })).body;
const close = async (id: string) => (await api.post<ClosedProject>(`/v1/projects/${id}/close`)).body;
const moments = async (id: string, query = '') =>
  (await api.ask<ProjectSnapshotList>('GET', `/v1/projects/${id}/snapshots${query}`)).body;
const refuse = (code: ErrorCode, message = 'no'): never => {
  throw new DormouseError(code, message);
};
/** What a control plane leaves that died while it held a project. */
const expireLease = async (id: string) => {
  const lease = { token: 'dead', ms: 1 };
  await team.projects.claim(id, lease);
  await wait(5);
};

describe('a project', () => {
  test('is made with defaults, found by id and name, listed and shown closed', async () => {
    const project = await make({ metadata: { owner: 'ada' }, envs: { SECRET: 'x' } });
    expect(project).toEqual({
      id: expect.stringMatching(/^pj[a-z0-9]{20}$/),
      name: 'thesis',
      state: 'closed',
      template: 'base',
      keep_last: 10,
      workspace: '/home/user',
      vcpus: null,
      memory_mb: null,
      timeout_sec: 0,
      internet: true,
      metadata: { owner: 'ada' },
      sandbox_id: null,
      sandbox_state: null,
      snapshot_id: null,
      created_at: expect.any(String),
      opened_at: null,
      saved_at: null,
    });
    expect(await get(project.id)).toEqual(project);
    expect(await get('thesis')).toEqual(project);
    await make({ name: 'other' });
    const first = (await api.ask<ProjectList>('GET', '/v1/projects?limit=1')).body;
    expect(first.projects.map(({ name }) => name)).toEqual(['other']);
    const second = (await api.ask<ProjectList>('GET', `/v1/projects?limit=1&cursor=${first.next_cursor}`))
      .body;
    expect(second).toEqual({ projects: [project], next_cursor: null });
  });

  test('is refused with a name that is taken or none, an unknown template, and numbers out of bounds', async () => {
    await make();
    const refused = (json: object) => api.refusal('POST', '/v1/projects', { name: 'p', ...json });
    expect(await refused({ name: 'thesis' })).toEqual({
      status: 409,
      code: 'already_exists',
      message: 'there is a project thesis already. Choose another name.',
    });
    expect(await refused({ template: 'nope' })).toMatchObject({ status: 404, code: 'not_found' });
    expect((await refused({ name: 'pj4f9k2m7q1x8c3v6b0n5z' })).message).toBe(
      'name: must not look like the id of a project',
    );
    expect((await refused({ keep_last: 0 })).message).toBe(
      'keep_last: must be a whole number from 1 to 1000',
    );
    expect((await refused({ workspace: 'here' })).message).toBe('workspace: must be absolute');
    for (const name of ['../x', '', 'a/b']) expect(await refused({ name })).toMatchObject({ status: 400 });
  });
});

describe('opening', () => {
  test('begins with the template, goes on live, and wakes what is paused', async () => {
    const { id } = await make({ vcpus: 1, memory_mb: 256, timeout_sec: 60, metadata: { a: 'b' } });
    const first = await open(id);
    expect(first).toMatchObject({ restored_from: 'template', snapshot_id: null, restore_error: null });
    expect(first.sandbox).toMatchObject({
      state: 'running',
      vcpus: 1,
      memory_mb: 256,
      timeout_sec: 60,
      on_timeout: 'pause',
      metadata: { a: 'b', project: id },
    });
    expect(first.project).toMatchObject({ state: 'open', sandbox_id: first.sandbox.id });
    expect(await open('thesis')).toMatchObject({ restored_from: 'live', sandbox: { id: first.sandbox.id } });
    await api.post(`/v1/sandboxes/${first.sandbox.id}/pause`);
    expect(await get(id)).toMatchObject({ state: 'open', sandbox_state: 'paused' });
    expect(await open(id)).toMatchObject({
      restored_from: 'live',
      restore_error: null,
      sandbox: { id: first.sandbox.id, state: 'running', resumed_by: 'memory' },
    });
    expect(made).toEqual(['']);
  });

  test('begins with the newest moment when the sandbox is gone, with the size of that moment', async () => {
    const { id } = await make({ vcpus: 1, memory_mb: 256 });
    const { sandbox } = await open(id);
    await save(id, { description: 'older' });
    const newest = await save(id);
    await api.ask('DELETE', `/v1/sandboxes/${sandbox.id}`);
    expect(await get(id)).toMatchObject({ state: 'closed', sandbox_id: null, snapshot_id: newest.id });
    const again = await open(id);
    expect(again).toMatchObject({
      restored_from: 'snapshot',
      snapshot_id: newest.id,
      restore_error: null,
      sandbox: { vcpus: 1, memory_mb: 256, parent_snapshot: newest.id },
    });
    expect(made).toEqual(['', newest.id]);
    // Somebody deletes the newest moment: the one before is the newest then.
    const [, older] = (await moments(id)).snapshots;
    await api.ask('DELETE', `/v1/sandboxes/${again.sandbox.id}`);
    await api.ask('DELETE', `/v1/snapshots/${newest.id}`);
    expect(await open(id)).toMatchObject({ restored_from: 'snapshot', snapshot_id: older?.id });
  });

  test('hazard 5: a moment that cannot be restored leads to the template, is told and is never removed', async () => {
    const { id } = await make({ keep_last: 1 });
    await open(id);
    const { snapshot } = await close(id);
    const damaged = snapshot!.id;
    const { createSandbox } = recordedCreate();
    plane.host.script({
      createSandbox: (request, context) =>
        request.spec?.snapshotId === damaged
          ? refuse('snapshot_corrupt', 'page 7 is damaged')
          : createSandbox(request, context),
    });
    const opened = await open(id);
    expect(opened).toMatchObject({
      restored_from: 'template',
      snapshot_id: null,
      restore_error: { code: 'snapshot_corrupt', message: 'page 7 is damaged' },
    });
    // No row of the attempt is left.
    const { sandboxes } = (await api.ask<{ sandboxes: Sandbox[] }>('GET', '/v1/sandboxes')).body;
    expect(sandboxes.map((sandbox) => sandbox.id)).toEqual([opened.sandbox.id]);
    for (let i = 0; i < 3; i++) await save(id);
    const kept = (await moments(id)).snapshots.map((moment) => moment.id);
    expect(kept).toHaveLength(2);
    expect(kept).toContain(damaged);
    expect(ended).not.toContain(damaged);
  });

  test('hazard 5: what cannot be resumed is booted from its disk, else left alone beside what is opened', async () => {
    const { id } = await make();
    const { sandbox } = await open(id);
    const kept = await save(id);
    await api.post(`/v1/sandboxes/${sandbox.id}/pause`);
    const asked: boolean[] = [];
    plane.host.script({
      resumeSandbox: ({ reboot }) => {
        asked.push(reboot);
        return refuse('snapshot_incompatible', reboot ? 'the disk is away' : 'another processor');
      },
    });
    const opened = await open(id);
    expect(asked).toEqual([false, true]);
    expect(opened).toMatchObject({ restored_from: 'snapshot', snapshot_id: kept.id });
    expect(opened.restore_error).toEqual({
      code: 'snapshot_incompatible',
      message: `the sandbox ${sandbox.id} could not be resumed: another processor. It is kept, paused: POST /v1/sandboxes/${sandbox.id}/resume tries again.`,
    });
    expect((await api.sandbox(sandbox.id)).state).toBe('paused');
    expect(ended).toEqual([]);
  });

  test.each(['unavailable', 'no_capacity'] as const)(
    'hazard 5: %s is answered as such, and nothing less than there is is opened',
    async (code) => {
      const { id } = await make();
      await open(id);
      const { snapshot } = await close(id);
      plane.host.script({ createSandbox: () => refuse(code, 'not now') });
      expect(await api.refusal('POST', `/v1/projects/${id}/open`)).toEqual({
        status: 503,
        code,
        message: 'not now',
      });
      plane.host.script(recordedCreate());
      expect(await open(id)).toMatchObject({ restored_from: 'snapshot', snapshot_id: snapshot!.id });
    },
  );

  test.each(['internal', 'restore_failed', 'timeout', 'boot_failed', 'guest_unreachable'] as const)(
    'hazard 5: after %s the memory of a sandbox is kept: it is not booted from its disk',
    async (code) => {
      const { id } = await make();
      const { sandbox } = await open(id);
      await save(id);
      await api.post(`/v1/sandboxes/${sandbox.id}/pause`);
      const asked: boolean[] = [];
      plane.host.script({
        resumeSandbox: ({ reboot }) => {
          asked.push(reboot);
          return refuse(code);
        },
      });
      expect((await api.refusal('POST', `/v1/projects/${id}/open`)).code).toBe(code);
      expect(asked).toEqual([false]);
      expect(await get(id)).toMatchObject({ state: 'open', sandbox_id: sandbox.id, sandbox_state: 'paused' });
    },
  );

  test('hazard 5: a lost database connection does not open the template in place of a moment', async () => {
    const { id } = await make();
    await open(id);
    const { snapshot } = await close(id);
    using faults = interceptDatabase();
    const { createSandbox } = recordedCreate();
    plane.host.script({
      createSandbox: (request) => {
        faults.start(1);
        return createSandbox(request);
      },
    });
    await expect(openProject(plane.services, team, id)).rejects.toThrow('Connection terminated');
    faults.stop();
    expect(made).toEqual(['', snapshot!.id]);
    plane.host.script(recordedCreate());
    expect(await open(id)).toMatchObject({ restored_from: 'snapshot', snapshot_id: snapshot!.id });
  });

  test('hazard 16: a sandbox that was made but could not be recorded is destroyed', async () => {
    const { id } = await make();
    const orphans: string[] = [];
    using faults = interceptDatabase();
    const { createSandbox } = recordedCreate();
    plane.host.script({
      createSandbox: (request) => {
        orphans.push(request.id);
        faults.start(1);
        return createSandbox(request);
      },
    });
    await expect(openProject(plane.services, team, id)).rejects.toThrow('Connection terminated');
    faults.stop();
    plane.host.script(recordedCreate());
    const opened = await open(id);
    expect(ended).toEqual(orphans);
    expect(opened.sandbox.id).not.toBe(orphans[0]);
  });

  test('waits for what the host has done by itself: what it has paused is resumed, what has ended is left', async () => {
    const { id } = await make();
    const { sandbox } = await open(id);
    const kept = await save(id);
    const hostSays = (state: SandboxState) => {
      const view = { id: sandbox.id, generation: 1n, state, pausedAtMs: BigInt(Date.now()) };
      plane.host.script({
        getSandbox: () => ({ sandbox: view }),
        listSandboxes: () => ({ sandboxes: [view] }),
      });
    };
    hostSays(SandboxState.PAUSED);
    const waking = open(id);
    await wait(300);
    await reconcileOnce(plane.services);
    expect(await waking).toMatchObject({
      restored_from: 'live',
      sandbox: { id: sandbox.id, state: 'running' },
    });
    hostSays(SandboxState.STOPPED);
    plane.host.script({
      listSandboxes: () => ({
        sandboxes: [{ id: sandbox.id, generation: 2n, state: SandboxState.STOPPED, reason: 'its VM ended' }],
      }),
    });
    const opening = open(id);
    await wait(300);
    await reconcileOnce(plane.services);
    expect(await opening).toMatchObject({ restored_from: 'snapshot', snapshot_id: kept.id });
    expect((await api.sandbox(sandbox.id)).state).toBe('stopped');
    expect(ended).toEqual([]);
  });

  test('hazard 8: twenty at once are one sandbox, from two control planes as well', async () => {
    const { id } = await make();
    const begun = gate();
    const finish = gate();
    const { createSandbox } = recordedCreate();
    plane.host.script({
      createSandbox: async (request, context) => {
        begun.open();
        await finish.opened;
        return createSandbox(request, context);
      },
    });
    const first = openProject(plane.services, team, id);
    await begun.opened;
    const others = Array.from({ length: 19 }, (_, i) =>
      openProject(i % 2 === 0 ? other : plane.services, other.store.forTeam(owner.teamId), id),
    );
    await wait(150);
    finish.open();
    const opened = await Promise.all([first, ...others]);
    expect(new Set(opened.map(({ sandbox }) => sandbox.id)).size).toBe(1);
    expect(made).toEqual(['']);
    expect((await get(id)).sandbox_id).toBe(opened[0]!.sandbox.id);
  });

  test('hazard 8: while it is being closed waits, and comes back with what was kept', async () => {
    const { id } = await make();
    await open(id);
    const begun = gate();
    const finish = gate();
    plane.host.script({
      createSnapshot: async (request) => {
        begun.open();
        await finish.opened;
        return { snapshot: { id: request.id, ownBytes: 1n, totalBytes: 1n } };
      },
    });
    const closing = closeProject(plane.services, team, id);
    await begun.opened;
    const opening = openProject(other, other.store.forTeam(owner.teamId), id);
    await wait(150);
    finish.open();
    const { save: kept } = await closing;
    expect(await opening).toMatchObject({ restoredFrom: 'snapshot', snapshotId: kept?.id });
    expect(made).toEqual(['', kept?.id]);
  });
});

describe('saving', () => {
  test('counts the workspace in the sandbox and keeps a snapshot like any other', async () => {
    const { id } = await make({ workspace: '/srv/work' });
    const { sandbox } = await open(id);
    const kept = await save(id, { description: 'before the migration', metadata: { build: '7' } });
    expect(kept).toEqual({
      id: expect.stringMatching(/^sn[a-z0-9]{20}$/),
      description: 'before the migration',
      created_at: expect.any(String),
      file_count: 128,
      size_mb: 3.25,
      metadata: { build: '7' },
    });
    expect(counts).toEqual([
      { argv: ['/bin/sh', '-c', expect.stringContaining('find'), 'sh', '/srv/work'], user: 'root' },
    ]);
    expect((await api.sandbox(sandbox.id)).state).toBe('running');
    expect(await get(id)).toMatchObject({ snapshot_id: kept.id, saved_at: expect.any(String) });
    expect((await api.ask('GET', `/v1/snapshots/${kept.id}`)).body).toMatchObject({
      name: expect.stringMatching(/^thesis-[0-9a-f]{12}$/),
      description: 'before the migration',
      sandbox_id: sandbox.id,
    });
  });

  test('is done without counts where counting fails, and where the sandbox sleeps', async () => {
    const { id } = await make();
    const { sandbox } = await open(id);
    plane.host.script({
      exec: async function* () {
        yield { message: { case: 'exited' as const, value: { exitCode: 1, signal: 0 } } };
      },
    });
    expect(await save(id)).toMatchObject({ description: null, file_count: null, size_mb: null });
    await api.post(`/v1/sandboxes/${sandbox.id}/pause`);
    expect(await save(id)).toMatchObject({ file_count: null });
    expect((await api.sandbox(sandbox.id)).state).toBe('paused');
  });

  test('is refused while the project is closed, and with an empty description', async () => {
    const { id } = await make();
    expect(await api.refusal('POST', `/v1/projects/${id}/save`, {})).toEqual({
      status: 409,
      code: 'invalid_state',
      message: `the project ${id} is closed: there is nothing to save. Open it: POST /v1/projects/${id}/open.`,
    });
    expect((await api.refusal('POST', `/v1/projects/${id}/save`, { description: '' })).message).toBe(
      'description: must not be empty',
    );
  });

  test('hazards 5 and 19: keeps the newest automatic moments and all described ones, the old going last', async () => {
    const { id } = await make({ keep_last: 2 });
    await open(id);
    const described = await save(id, { description: 'stays' });
    const automatic: string[] = [];
    for (let i = 0; i < 2; i++) automatic.push((await save(id)).id);
    plane.host.script({
      createSnapshot: (request) => {
        expect(ended).toEqual([]);
        return { snapshot: { id: request.id, ownBytes: 1n, totalBytes: 1n } };
      },
    });
    automatic.push((await save(id)).id);
    expect(ended).toEqual([automatic[0]]);
    const first = await moments(id, '?limit=2');
    const second = await moments(id, `?limit=2&cursor=${first.next_cursor}`);
    expect([...first.snapshots, ...second.snapshots].map((moment) => moment.id)).toEqual([
      automatic[2],
      automatic[1],
      described.id,
    ]);
    expect(second.next_cursor).toBeNull();
    expect((await api.refusal('GET', `/v1/snapshots/${automatic[0]}`)).code).toBe('not_found');
  });

  test('hazard 5: that fails removes nothing and leaves the project where it was', async () => {
    const { id } = await make({ keep_last: 1 });
    const { sandbox } = await open(id);
    const kept = await save(id);
    let failed = '';
    plane.host.script({
      createSnapshot: (request) => {
        failed = request.id;
        return refuse('no_space', 'the disk is full');
      },
    });
    expect(await api.refusal('POST', `/v1/projects/${id}/save`, {})).toMatchObject({
      status: 507,
      code: 'no_space',
    });
    expect((await moments(id)).snapshots).toEqual([kept]);
    expect(ended).toEqual([failed]);
    expect(await get(id)).toMatchObject({ snapshot_id: kept.id, sandbox_id: sandbox.id });
  });
});

describe('going back', () => {
  test('keeps the present first, begins where that moment was, and then frees the old sandbox', async () => {
    const { id } = await make({ keep_last: 1 });
    const { sandbox } = await open(id);
    const wanted = await save(id);
    const back = await restore(id, wanted.id);
    expect(back).toMatchObject({
      restored_from: 'snapshot',
      snapshot_id: wanted.id,
      restore_error: null,
      project: { state: 'open', snapshot_id: wanted.id },
    });
    expect(back.sandbox.id).not.toBe(sandbox.id);
    expect(ended).toEqual([sandbox.id]);
    const [before, ...older] = (await moments(id)).snapshots;
    expect(before).toMatchObject({ description: null, file_count: 128 });
    expect(older.map((moment) => moment.id)).toEqual([wanted.id]);
    // And lost, it is found where it went back to, not at what was newest.
    await api.ask('DELETE', `/v1/sandboxes/${back.sandbox.id}`);
    expect(await open(id)).toMatchObject({ restored_from: 'snapshot', snapshot_id: wanted.id });
    const next = await save(id);
    expect((await moments(id)).snapshots.map((moment) => moment.id)).toEqual([next.id]);
  });

  test('opens what is closed, and knows only its own moments', async () => {
    const [mine, yours] = [await make(), await make({ name: 'yours' })];
    await open(mine.id);
    const { snapshot } = await close(mine.id);
    expect(
      await api.refusal('POST', `/v1/projects/${yours.id}/restore`, { snapshot_id: snapshot!.id }),
    ).toEqual({
      status: 404,
      code: 'not_found',
      message: `the project ${yours.id} has no snapshot ${snapshot!.id}. GET /v1/projects/${yours.id}/snapshots lists them.`,
    });
    for (const snapshot_id of ['\0', '../x', 'sn']) {
      expect(await api.refusal('POST', `/v1/projects/${mine.id}/restore`, { snapshot_id })).toMatchObject({
        status: 404,
      });
    }
    expect(await restore(mine.id, snapshot!.id)).toMatchObject({ snapshot_id: snapshot!.id });
  });

  test('hazard 5: that fails goes on where it was', async () => {
    const { id } = await make();
    const { sandbox } = await open(id);
    const wanted = await save(id);
    plane.host.script({ createSandbox: () => refuse('restore_failed', 'it would not wake') });
    expect(await api.refusal('POST', `/v1/projects/${id}/restore`, { snapshot_id: wanted.id })).toEqual({
      status: 503,
      code: 'restore_failed',
      message: 'it would not wake',
    });
    expect(await api.sandbox(sandbox.id)).toMatchObject({ state: 'running', resumed_by: 'memory' });
    expect(await get(id)).toMatchObject({ state: 'open', sandbox_id: sandbox.id });
    expect((await moments(id)).snapshots).toHaveLength(2);
    expect(ended).not.toContain(sandbox.id);
  });
});

test('hazard 8: going back is not to be asked for again where the present was kept, opening is', async () => {
  const { id } = await make();
  await open(id);
  const { id: snapshot_id } = await save(id);
  const asked = (path: string, json: object) =>
    plane.request(`/v1/projects/${id}/${path}`, {
      method: 'POST',
      headers: { 'x-api-key': owner.key, 'content-type': 'application/json' },
      body: JSON.stringify(json),
    });
  plane.host.script({ createSandbox: () => refuse('no_capacity') });
  const restoring = await asked('restore', { snapshot_id });
  expect([restoring.status, restoring.headers.get('retry-after')]).toEqual([503, null]);
  plane.host.script(recordedCreate());
  await close(id);
  plane.host.script({ createSandbox: () => refuse('no_capacity') });
  const opening = await asked('open', {});
  expect([opening.status, opening.headers.get('retry-after')]).toEqual([503, '2']);
  expect(opening.headers.get('dormouse-not-begun')).toBe('true');
});

describe('going back that is interrupted', () => {
  /** Twenty statements are more than going back takes after its new sandbox was made. */
  const STATEMENTS = 20;

  test('hazard 16: leaves neither the old sandbox nor a second one, wherever the database was lost', async () => {
    using faults = interceptDatabase();
    for (const when of ['before', 'after'] as const) {
      for (let at = 1; at <= STATEMENTS; at++) {
        const { id } = await make({ name: `${when}-${at}` });
        await open(id);
        const wanted = await save(id);
        const { createSandbox } = recordedCreate();
        plane.host.script({
          createSandbox: (request) => {
            faults.start(at, when);
            return createSandbox(request);
          },
        });
        await restoreProject(plane.services, team, id, wanted.id).catch(() => undefined);
        faults.stop();
        plane.host.script(recordedCreate());
        await team.projects.renew(id, { token: (await team.projects.get(id))?.lease ?? '', ms: 1 });
        await wait(5);
        await repairProjects(plane.services);
        const { sandbox_id: current } = await get(id);
        const { sandboxes } = (
          await api.ask<{ sandboxes: Sandbox[] }>('GET', `/v1/sandboxes?metadata.project=${id}`)
        ).body;
        // One that is on its way out the reconciler destroys.
        const left = sandboxes.filter(({ state }) => state !== 'stopping').map((sandbox) => sandbox.id);
        expect([when, at, left]).toEqual([when, at, [current]]);
        expect(await team.projects.get(id)).toMatchObject({
          next_sandbox_id: null,
          leaving_sandbox_id: null,
          restoring_id: null,
        });
        await api.ask('DELETE', `/v1/projects/${id}`);
      }
    }
  });

  test('hazard 19: pins nothing, and keeps what it goes back to until it is over', async () => {
    const { id } = await make({ keep_last: 1 });
    await open(id);
    const wanted = await save(id);
    plane.host.script({ createSandbox: () => refuse('restore_failed') });
    expect((await api.refusal('POST', `/v1/projects/${id}/restore`, { snapshot_id: wanted.id })).code).toBe(
      'restore_failed',
    );
    expect((await moments(id)).snapshots.map((moment) => moment.id)).toContain(wanted.id);
    const next = await save(id);
    expect((await moments(id)).snapshots.map((moment) => moment.id)).toEqual([next.id]);
  });

  test.each(['left alone', 'woken'])('hazard 16: a sandbox that was left and %s', async (what) => {
    const { id } = await make();
    const { sandbox } = await open(id);
    const old = await api.create();
    await api.post(`/v1/sandboxes/${old.id}/pause`);
    const { generation } = (await team.sandboxes.get(old.id))!;
    if (what === 'woken') await api.post(`/v1/sandboxes/${old.id}/resume`);
    await expireLease(id);
    await team.projects.change(id, 'dead', { leaving: { sandboxId: old.id, generation } });
    expect(await repairProjects(other)).toEqual([id]);
    expect(ended).toEqual(what === 'woken' ? [] : [old.id]);
    expect((await team.projects.get(id))?.leaving_sandbox_id).toBeNull();
    expect((await get(id)).sandbox_id).toBe(sandbox.id);
  });
});

describe('closing', () => {
  test('pauses, keeps, and only then frees; closing what is closed changes nothing', async () => {
    const { id } = await make();
    const { sandbox } = await open(id);
    const seen: string[] = [];
    plane.host.script({
      createSnapshot: async (request) => {
        seen.push((await api.sandbox(sandbox.id)).state);
        expect(ended).toEqual([]);
        return { snapshot: { id: request.id, ownBytes: 1n, totalBytes: 1n } };
      },
    });
    const closed = await close(id);
    expect(seen).toEqual(['paused']);
    expect(ended).toEqual([sandbox.id]);
    expect(closed.project).toMatchObject({
      state: 'closed',
      sandbox_id: null,
      snapshot_id: closed.snapshot?.id,
    });
    expect(closed.snapshot).toMatchObject({ description: null, file_count: 128, size_mb: 3.25 });
    expect((await api.refusal('GET', `/v1/sandboxes/${sandbox.id}`)).code).toBe('not_found');
    expect(await close(id)).toMatchObject({ snapshot: null, project: { state: 'closed' } });
  });

  test('keeps the disk alone of a sandbox whose memory is not there', async () => {
    const { id } = await make();
    const { sandbox } = await open(id);
    const asked: boolean[] = [];
    plane.host.script({
      getSandbox: () => ({ sandbox: { id: sandbox.id, state: SandboxState.PAUSED, diskOnly: true } }),
      createSnapshot: ({ id: snapshotId, diskOnly }) => {
        asked.push(diskOnly);
        return { snapshot: { id: snapshotId, ownBytes: 1n, totalBytes: 1n, diskOnly } };
      },
    });
    const { project, snapshot } = await close(id);
    expect(asked).toEqual([true]);
    expect(project).toMatchObject({ state: 'closed', snapshot_id: snapshot?.id });
    expect(ended).toEqual([sandbox.id]);
  });

  test('hazard 5: that fails leaves it open', async () => {
    const { id } = await make();
    const { sandbox } = await open(id);
    plane.host.script({ createSnapshot: () => refuse('no_space', 'the disk is full') });
    expect(await api.refusal('POST', `/v1/projects/${id}/close`)).toMatchObject({ code: 'no_space' });
    expect(ended).not.toContain(sandbox.id);
    expect(await open(id)).toMatchObject({ restored_from: 'live', sandbox: { id: sandbox.id } });
  });

  test('hazard 5: a sandbox that is woken meanwhile is not freed: what it does since is nowhere else', async () => {
    const { id } = await make();
    const { sandbox } = await open(id);
    plane.host.script({
      createSnapshot: async (request) => {
        const record = (await team.sandboxes.get(sandbox.id))!;
        const from = { state: record.state, generation: record.generation };
        const resuming = (await team.sandboxes.transition({ id: sandbox.id, from, to: 'resuming' }))!;
        await team.sandboxes.transition({ id: sandbox.id, from: resuming, to: 'running' });
        return { snapshot: { id: request.id, ownBytes: 1n, totalBytes: 1n } };
      },
    });
    const refusal = await api.refusal('POST', `/v1/projects/${id}/close`);
    expect(refusal).toMatchObject({ status: 409, code: 'invalid_state' });
    const [kept] = (await moments(id)).snapshots;
    expect(refusal.message).toBe(
      `the project ${id} was woken while it was being closed. Its moment before that is kept (${kept?.id}). Close it again when nobody uses it.`,
    );
    expect(ended).toEqual([]);
    expect(await open(id)).toMatchObject({ restored_from: 'live', sandbox: { id: sandbox.id } });
  });
});

describe('deleting', () => {
  test('frees its sandbox and its moments, and its name', async () => {
    const { id } = await make();
    const { sandbox } = await open(id);
    const kept = [await save(id), await save(id, { description: 'x' })];
    expect((await api.ask('DELETE', `/v1/projects/${id}`)).status).toBe(204);
    expect(ended.sort()).toEqual([sandbox.id, ...kept.map((moment) => moment.id)].sort());
    const missing = { status: 404, code: 'not_found', message: `there is no project ${id}` };
    for (const path of ['', '/snapshots']) {
      expect(await api.refusal('GET', `/v1/projects/${id}${path}`)).toEqual(missing);
    }
    for (const path of ['open', 'save', 'close']) {
      expect(await api.refusal('POST', `/v1/projects/${id}/${path}`, {})).toEqual(missing);
    }
    expect((await make()).id).not.toBe(id);
  });

  test('hazard 16: is finished later where the host was away', async () => {
    const { id } = await make();
    const { sandbox } = await open(id);
    plane.host.script({ destroySandbox: () => refuse('unavailable', 'restarting') });
    expect((await api.ask('DELETE', `/v1/projects/${id}`)).status).toBe(204);
    expect((await team.sandboxes.get(sandbox.id))?.state).toBe('stopping');
    plane.host.script({
      destroySandbox: (request) => {
        ended.push(request.id);
        return {};
      },
    });
    await reconcileOnce(plane.services);
    expect(ended).toContain(sandbox.id);
    expect(await team.projects.claim(id, { token: 't', ms: 1000 })).toBeUndefined();
  });

  test('hazard 16: is finished by another control plane where the first one died', async () => {
    const { id } = await make();
    const { sandbox } = await open(id);
    const kept = await save(id, { description: 'x' });
    await expireLease(id);
    await team.projects.change(id, 'dead', { deleted: true });
    expect((await api.refusal('GET', `/v1/projects/${id}`)).code).toBe('not_found');
    expect(await repairProjects(other)).toEqual([id]);
    expect(ended).toEqual([sandbox.id, kept.id]);
    expect(await team.projects.claim(id, { token: 't', ms: 1000 })).toBeUndefined();
  });
});

describe('hazard 14: another team', () => {
  test('does not see, open, save, restore, close or delete a project, whatever it calls it', async () => {
    const { id } = await make();
    await open(id);
    const kept = await save(id);
    const before = await get(id);
    const stranger = new ApiClient(plane, (await plane.newTeam()).key);
    for (const name of [id, 'thesis', '..%2fthesis', 'pjzzzzzzzzzzzzzzzzzzzz']) {
      const missing = {
        status: 404,
        code: 'not_found',
        message: `there is no project ${decodeURIComponent(name)}`,
      };
      expect(await stranger.refusal('GET', `/v1/projects/${name}`)).toEqual(missing);
      expect(await stranger.refusal('DELETE', `/v1/projects/${name}`)).toEqual(missing);
      expect(await stranger.refusal('GET', `/v1/projects/${name}/snapshots`)).toEqual(missing);
      for (const verb of ['open', 'save', 'close']) {
        expect(await stranger.refusal('POST', `/v1/projects/${name}/${verb}`, {})).toEqual(missing);
      }
      expect(
        await stranger.refusal('POST', `/v1/projects/${name}/restore`, { snapshot_id: kept.id }),
      ).toEqual(missing);
    }
    expect((await stranger.ask<ProjectList>('GET', '/v1/projects')).body.projects).toEqual([]);
    const own = (await stranger.post<Project>('/v1/projects', { name: 'thesis' })).body;
    expect(
      await stranger.refusal('POST', `/v1/projects/${own.id}/restore`, { snapshot_id: kept.id }),
    ).toMatchObject({ status: 404 });
    expect(await get(id)).toEqual(before);
    expect(ended).toEqual([]);
  });
});

describe('hazards 4 and 9: what a control plane that died has left', () => {
  test('a sandbox that was being made goes', async () => {
    const { id } = await make();
    const orphan = await api.create();
    await expireLease(id);
    await team.projects.change(id, 'dead', { nextSandboxId: orphan.id });
    expect(await repairProjects(plane.services)).toEqual([id]);
    expect(ended).toEqual([orphan.id]);
    expect(await open(id)).toMatchObject({ restored_from: 'template' });
  });

  test('a close whose moment came to be is finished, by the repair or by whoever opens first', async () => {
    for (const finish of ['repair', 'open'] as const) {
      const { id } = await make({ name: finish });
      const { sandbox } = await open(id);
      // The moment is ready and the sandbox paused; its end was not lived to see.
      const kept = await save(id);
      await api.post(`/v1/sandboxes/${sandbox.id}/pause`);
      const { generation } = (await team.sandboxes.get(sandbox.id))!;
      await expireLease(id);
      await team.projects.change(id, 'dead', { pendingSaveId: kept.id, closingGeneration: generation });
      if (finish === 'repair') {
        expect(await repairProjects(plane.services)).toEqual([id]);
        expect(await get(id)).toMatchObject({ state: 'closed', snapshot_id: kept.id });
      }
      expect(await open(id)).toMatchObject({ restored_from: 'snapshot', snapshot_id: kept.id });
      expect(ended).toEqual([sandbox.id]);
      ended.length = 0;
    }
  });

  test('a save that the host finished later becomes the head; one that it did not is forgotten', async () => {
    const { id } = await make();
    const { sandbox } = await open(id);
    const first = await save(id);
    const begin = async (saveId: string) => {
      await expireLease(id);
      await team.projects.change(id, 'dead', { pendingSaveId: saveId });
      await team.projectSaves.insert({
        id: saveId,
        projectId: id,
        description: null,
        fileCount: 1,
        sizeBytes: 2,
        metadata: {},
      });
      return insertCreating(saveId, sandbox);
    };
    const late = `sn${'late'.padEnd(20, '0')}`;
    const row = await begin(late);
    // Nobody knows yet what becomes of it.
    expect(await repairProjects(plane.services)).toEqual([]);
    expect((await get(id)).snapshot_id).toBe(first.id);
    await team.snapshots.commit(row, { ownBytes: 1, totalBytes: 1, diskOnly: false });
    expect(await repairProjects(plane.services)).toEqual([id]);
    expect((await get(id)).snapshot_id).toBe(late);

    const never = `sn${'never'.padEnd(20, '0')}`;
    await begin(never);
    await team.snapshots.giveUp(never);
    expect(await repairProjects(plane.services)).toEqual([id]);
    expect((await get(id)).snapshot_id).toBe(late);
    expect((await moments(id)).snapshots.map((moment) => moment.id)).toEqual([late, first.id]);
    expect(await repairProjects(plane.services)).toEqual([]);
  });

  test.each(['pauseSandbox', 'createSnapshot', 'destroySandbox'] as const)(
    'one that dies in the middle of a close, at %s, has lost nothing: another one finishes or undoes it',
    async (call) => {
      const { id } = await make();
      const { sandbox } = await open(id);
      const store = await Store.open({ databaseUrl: plane.databaseUrl, poolSize: 3 });
      const victim = { ...plane.services, store, inFlight: new InFlight(), operations: new Operations() };
      const [begun, finish] = [gate(), gate()];
      const host = { state: SandboxState.RUNNING, snapshot: '', gone: false };
      const reached = async (at: typeof call) => {
        if (at !== call) return;
        begun.open();
        await finish.opened;
      };
      plane.host.script({
        pauseSandbox: async (request) => {
          await reached('pauseSandbox');
          host.state = SandboxState.PAUSED;
          return { sandbox: { id: request.id, generation: request.generation, state: host.state } };
        },
        createSnapshot: async (request) => {
          await reached('createSnapshot');
          host.snapshot = request.id;
          return { snapshot: { id: request.id, ownBytes: 1n, totalBytes: 1n } };
        },
        destroySandbox: async (request) => {
          if (!host.gone) await reached('destroySandbox');
          host.gone = true;
          ended.push(request.id);
          return {};
        },
        listSandboxes: () => ({
          sandboxes: host.gone
            ? []
            : [{ id: sandbox.id, generation: 1n, state: host.state, pausedAtMs: BigInt(Date.now()) }],
        }),
        listSnapshots: () => ({
          snapshots: host.snapshot === '' ? [] : [{ id: host.snapshot, ownBytes: 1n, totalBytes: 1n }],
        }),
      });
      const dying = closeProject(victim, store.forTeam(owner.teamId), id).catch(() => undefined);
      await begun.opened;
      const { lease } = (await team.projects.get(id))!;
      await store.close();
      finish.open();
      await dying;
      // It did not live to give its lease back, nor to make it longer.
      expect((await team.projects.get(id))?.lease).toBe(lease);
      await team.projects.renew(id, { token: lease!, ms: 1 });
      await wait(5);
      for (let round = 0; round < 2; round++) {
        await reconcileOnce(plane.services);
        await repairProjects(plane.services);
      }
      const after = await get(id);
      if (call === 'pauseSandbox') {
        expect(after).toMatchObject({ state: 'open', sandbox_state: 'paused', snapshot_id: null });
        expect(await open(id)).toMatchObject({ restored_from: 'live', sandbox: { id: sandbox.id } });
        return;
      }
      expect(after).toMatchObject({ state: 'closed', snapshot_id: host.snapshot });
      expect(ended).toContain(sandbox.id);
      expect(await open(id)).toMatchObject({ restored_from: 'snapshot', snapshot_id: host.snapshot });
    },
  );

  test('whoever was away while another took over changes nothing', async () => {
    const { id } = await make();
    await expireLease(id);
    await open(id);
    expect(await team.projects.change(id, 'dead', { sandboxId: null })).toBeUndefined();
    expect((await get(id)).state).toBe('open');
  });

  async function insertCreating(id: string, { id: sandboxId }: Sandbox) {
    return team.snapshots.insert({
      id,
      name: id.slice(0, 10),
      overwrite: false,
      sandboxId,
      template: 'base',
      imageId: 'img-1',
      vcpus: 2,
      memoryMb: 512,
      diskMb: 4096,
      diskOnly: false,
      description: null,
      parentId: null,
    });
  }
});

/** Makes sandboxes and remembers of what. */
function recordedCreate() {
  return {
    createSandbox: (
      { id, generation, spec }: { id: string; generation: bigint; spec?: { snapshotId: string } | undefined },
      _context?: unknown,
    ) => {
      made.push(spec?.snapshotId ?? '');
      return { sandbox: { id, generation, state: SandboxState.RUNNING, startedAtMs: BigInt(Date.now()) } };
    },
  };
}
