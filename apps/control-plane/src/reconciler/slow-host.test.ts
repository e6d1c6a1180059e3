import { setTimeout as wait } from 'node:timers/promises';
import { SandboxState } from '@dormouse/host-api';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { Bell } from '../flow/bell.js';
import { watchHost } from '../host-events/watch.js';
import { keepAlive, UNREACHABLE_AFTER_MS } from '../keep-alive.js';
import { ApiClient } from '../testing/api-client.js';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';
import { gate } from '../testing/gate.js';
import { reconcileForEver } from './loop.js';
import { reconcileOnce } from './reconcile.js';

let plane: TestControlPlane;
let api: ApiClient;
beforeAll(async () => {
  plane = await startTestControlPlane();
  api = new ApiClient(plane);
}, 60_000);
afterAll(() => plane.close(), 60_000);
beforeEach(() => plane.host.reset());

/** Sandboxes that somebody has deleted, and that are still to be destroyed on the host. */
async function stopping(count: number): Promise<string[]> {
  const { sandboxes } = plane.services.store.forTeam(plane.team.teamId);
  return Promise.all(
    Array.from({ length: count }, async () => {
      const { id } = await api.create();
      const from = (await sandboxes.get(id))!;
      await sandboxes.transition({ id, from, to: 'stopping', changes: { deleted: true } });
      return id;
    }),
  );
}

test('hazard 8: a sandbox whose host call takes long delays no other one', async () => {
  const [slow, ...others] = await stopping(12);
  await wait(2);
  const over = gate();
  const destroyed: string[] = [];
  plane.host.script({
    destroySandbox: async ({ id }) => {
      if (id === slow) {
        while (destroyed.length < others.length) await wait(5);
        await over.opened;
      }
      destroyed.push(id);
      return {};
    },
  });
  const round = reconcileOnce(plane.services);
  while (destroyed.length < others.length) await wait(5);
  expect(destroyed.toSorted()).toEqual(others.toSorted());
  over.open();
  expect((await round).acted).toHaveLength(12);
});

test.each(['pause', 'resume', 'fork'])(
  'hazard 9: a sandbox that this control plane has left half moved is repaired while a %s waits for it',
  async (what) => {
    const { id } = await api.create();
    const { sandboxes } = plane.services.store.forTeam(plane.team.teamId);
    await sandboxes.transition({ id, from: (await sandboxes.get(id))!, to: 'snapshotting' });
    plane.host.script({
      listSandboxes: () => ({ sandboxes: [{ id, generation: 1n, state: SandboxState.RUNNING }] }),
    });
    const stop = new AbortController();
    const working = reconcileForEver(plane.services, new Bell(), stop.signal);
    const beganMs = performance.now();
    expect((await api.post(`/v1/sandboxes/${id}/${what}`)).status).toBeLessThan(300);
    expect(performance.now() - beganMs).toBeLessThan(10_000);
    stop.abort();
    await working;
  },
  70_000,
);

test('hazard 5: one slow host call leaves the host reachable, and rounds go on', async () => {
  const { id } = await api.create();
  const [slow] = await stopping(1);
  const over = gate();
  let calls = 0;
  plane.host.script({
    listSandboxes: () => ({ sandboxes: [{ id, generation: 1n, state: SandboxState.RUNNING }] }),
    destroySandbox: async () => {
      calls += 1;
      await over.opened;
      return {};
    },
    watchEvents: async function* (_request, { signal }) {
      for (;;) {
        yield { events: [] };
        await wait(1_000, undefined, { signal });
      }
    },
    acknowledgeEvents: async () => {
      await over.opened;
      return {};
    },
  });
  const stop = new AbortController();
  const { services } = plane;
  const working = Promise.all([
    reconcileForEver(services, new Bell(), stop.signal),
    watchHost(services, new Bell(), stop.signal),
    keepAlive(services, stop.signal),
  ]);
  const until = performance.now() + UNREACHABLE_AFTER_MS + 3_000;
  while (performance.now() < until) {
    expect((await api.sandbox(id)).host_state).toBe('online');
    await wait(200);
  }
  expect(calls).toBe(1);
  over.open();
  while ((await services.store.forTeam(plane.team.teamId).sandboxes.get(slow!)) !== undefined) await wait(20);
  stop.abort();
  await working;
}, 40_000);
