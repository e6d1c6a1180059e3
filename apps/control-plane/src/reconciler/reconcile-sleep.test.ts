import { setTimeout as wait } from 'node:timers/promises';
import { SandboxState } from '@dormouse/host-api';
import { Store } from '@dormouse/store';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { ApiClient } from '../testing/api-client.js';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';
import { reconcileOnce } from './reconcile.js';

let plane: TestControlPlane;
let api: ApiClient;
/** The database as another control plane has it open. */
let other: Store;
beforeAll(async () => {
  plane = await startTestControlPlane();
  api = new ApiClient(plane);
  other = await Store.open({ databaseUrl: plane.databaseUrl });
}, 60_000);
afterAll(async () => {
  await other.close();
  await plane.close();
}, 60_000);
beforeEach(async () => {
  plane.host.reset();
  await other.system.lease.renew();
});

interface Listed {
  readonly id: string;
  readonly generation: bigint;
  readonly state: SandboxState;
  readonly reason?: string;
  readonly pausedAtMs?: bigint;
  readonly resumedBy?: number;
}

/** One round with what the host lists. */
async function round(sandboxes: readonly Listed[]): Promise<void> {
  // What has changed in the very millisecond in which the host is asked is left to the next round.
  await wait(2);
  plane.host.script({ listSandboxes: () => ({ sandboxes: [...sandboxes] }) });
  await reconcileOnce(plane.services);
}

/** A row that another control plane is bringing elsewhere. */
async function stuck(state: 'pausing' | 'resuming' | 'snapshotting'): Promise<string> {
  const { id } = await api.create();
  const { sandboxes } = other.forTeam(plane.team.teamId);
  let row = (await sandboxes.get(id))!;
  const path = {
    pausing: ['pausing'],
    snapshotting: ['snapshotting'],
    resuming: ['pausing', 'paused', 'resuming'],
  };
  for (const to of path[state]) {
    row = (await sandboxes.transition({ id, from: row, to: to as 'pausing' }))!;
  }
  return id;
}

test('hazard 9: what the host pauses at its own shutdown and resumes at its start is followed', async () => {
  const { id } = await api.create();
  const pausedAtMs = BigInt(Date.parse('2026-01-02T03:04:05.678Z'));
  await round([{ id, generation: 1n, state: SandboxState.PAUSED, pausedAtMs }]);
  expect(await api.sandbox(id)).toMatchObject({
    state: 'paused',
    paused_at: '2026-01-02T03:04:05.678Z',
    reason: null,
  });
  await round([{ id, generation: 2n, state: SandboxState.RESUMING }]);
  expect((await api.sandbox(id)).state).toBe('resuming');
  await round([{ id, generation: 2n, state: SandboxState.RUNNING, resumedBy: 1 }]);
  expect(await api.sandbox(id)).toMatchObject({ state: 'running', paused_at: null, resumed_by: 'memory' });
  await round([{ id, generation: 1n, state: SandboxState.STOPPED }]);
  expect((await api.sandbox(id)).state).toBe('running');
  let asked: bigint | undefined;
  plane.host.script({
    pauseSandbox: ({ generation }) => {
      asked = generation;
      return { sandbox: { id, generation, state: SandboxState.PAUSED } };
    },
  });
  await api.post(`/v1/sandboxes/${id}/pause`);
  expect(asked).toBe(2n);
});

test('hazard 9: a host that is a generation ahead is followed at once', async () => {
  const { id } = await api.create();
  const reason = 'its memory was lost';
  await round([{ id, generation: 2n, state: SandboxState.RUNNING, resumedBy: 2, reason }]);
  expect(await api.sandbox(id)).toMatchObject({ state: 'running', resumed_by: 'reboot', reason });
});

test.each(['pausing', 'snapshotting'] as const)(
  'hazard 9: a row that was left %s goes where the host is',
  async (state) => {
    const [ran, slept] = [await stuck(state), await stuck(state)];
    const listed = [
      { id: ran, generation: 1n, state: SandboxState.RUNNING },
      { id: slept, generation: 1n, state: SandboxState.PAUSED },
    ];
    await round(listed);
    expect((await api.sandbox(ran)).state).toBe(state);
    expect((await api.sandbox(slept)).state).toBe('paused');
    await other.system.lease.end();
    await round(listed);
    expect((await api.sandbox(ran)).state).toBe('running');
  },
);

test('hazard 9: a row that was left resuming goes where the host is, and back when that never began', async () => {
  const [ran, slept, lost] = [await stuck('resuming'), await stuck('resuming'), await stuck('resuming')];
  const listed = [
    { id: ran, generation: 2n, state: SandboxState.RUNNING },
    { id: slept, generation: 1n, state: SandboxState.PAUSED },
  ];
  await round(listed);
  expect((await api.sandbox(ran)).state).toBe('running');
  expect((await api.sandbox(slept)).state).toBe('resuming');
  await other.system.lease.end();
  await round(listed);
  expect(await api.sandbox(slept)).toMatchObject({ state: 'paused', reason: null });
  expect(await api.sandbox(lost)).toMatchObject({ state: 'paused', reason: 'the host no longer has it' });
});

test('hazard 5: a paused sandbox that the host does not list is kept, and found again', async () => {
  const { id } = await api.create();
  await api.post(`/v1/sandboxes/${id}/pause`);
  const before = await api.sandbox(id);
  await round([]);
  expect(await api.sandbox(id)).toEqual({ ...before, reason: 'the host no longer has it' });
  await round([{ id, generation: 1n, state: SandboxState.PAUSED }]);
  expect(await api.sandbox(id)).toEqual(before);
});

test('hazard 16: children of a fork that were given up are destroyed on the host', async () => {
  const { id } = await api.create();
  let child = '';
  plane.host.script({
    forkSandbox: ({ children }) => {
      child = children[0]!.id;
      return { results: [] };
    },
  });
  await api.post(`/v1/sandboxes/${id}/fork`);
  const destroyed: string[] = [];
  plane.host.script({
    destroySandbox: (request) => {
      destroyed.push(request.id);
      return {};
    },
  });
  const running = { generation: 1n, state: SandboxState.RUNNING };
  await round([
    { id, ...running },
    { id: child, ...running },
  ]);
  expect(destroyed).toEqual([child]);
});
