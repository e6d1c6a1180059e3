import { SandboxState } from '@dormouse/host-api';
import { Store } from '@dormouse/store';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { Bell } from '../flow/bell.js';
import { keepAlive } from '../keep-alive.js';
import { ApiClient } from '../testing/api-client.js';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';
import { reconcileForEver } from './loop.js';

/** The bound for a true state after a crash. */
const BOUND_MS = 10_000;

let plane: TestControlPlane;
let api: ApiClient;
beforeAll(async () => {
  plane = await startTestControlPlane();
  api = new ApiClient(plane);
}, 60_000);
afterAll(() => plane.close(), 60_000);
beforeEach(() => plane.host.reset());

test.each([
  ['pausing', SandboxState.RUNNING, 'running'],
  ['pausing', SandboxState.PAUSED, 'paused'],
  ['resuming', SandboxState.PAUSED, 'paused'],
  ['resuming', SandboxState.RUNNING, 'running'],
  ['snapshotting', SandboxState.RUNNING, 'running'],
] as const)(
  'hazard 9: what a control plane that is killed was %s, on a host where it is %i, is %s within 10 s by another one',
  async (state, at, expected) => {
    const { id } = await api.create();
    const doomed = await Store.open({ databaseUrl: plane.databaseUrl });
    await doomed.system.lease.renew();
    const { sandboxes } = doomed.forTeam(plane.team.teamId);
    let row = (await sandboxes.get(id))!;
    const path = state === 'resuming' ? (['pausing', 'paused', 'resuming'] as const) : ([state] as const);
    for (const to of path) row = (await sandboxes.transition({ id, from: row, to }))!;
    // Killed: it says nothing any more, not even that it ends.
    const killedAtMs = performance.now();
    await doomed.close();
    plane.host.script({
      listSandboxes: () => ({ sandboxes: [{ id, generation: BigInt(row.generation), state: at }] }),
    });
    const stop = new AbortController();
    const working = Promise.all([
      reconcileForEver(plane.services, new Bell(), stop.signal),
      keepAlive(plane.services, stop.signal),
    ]);
    while ((await api.sandbox(id)).state !== expected) {
      expect(performance.now() - killedAtMs).toBeLessThan(BOUND_MS);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    stop.abort();
    await working;
  },
  30_000,
);

test('hazard 8: what another control plane is at is left to it for as long as that one lives', async () => {
  const { id } = await api.create();
  const other = await Store.open({ databaseUrl: plane.databaseUrl });
  const stop = new AbortController();
  await other.system.lease.renew();
  const living = keepAlive({ ...plane.services, store: other }, stop.signal);
  const { sandboxes } = other.forTeam(plane.team.teamId);
  const row = (await sandboxes.get(id))!;
  const pausing = (await sandboxes.transition({ id, from: row, to: 'pausing' }))!;
  plane.host.script({
    listSandboxes: () => ({ sandboxes: [{ id, generation: 1n, state: SandboxState.RUNNING }] }),
  });
  const working = reconcileForEver(plane.services, new Bell(), stop.signal);
  await new Promise((resolve) => setTimeout(resolve, 7_000));
  expect((await api.sandbox(id)).state).toBe('pausing');
  expect(await sandboxes.transition({ id, from: pausing, to: 'paused' })).toMatchObject({ state: 'paused' });
  stop.abort();
  await Promise.all([living, working]);
  await other.close();
}, 30_000);
