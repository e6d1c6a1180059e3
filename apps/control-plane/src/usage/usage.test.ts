import type { Usage } from '@dormouse/contracts';
import { NO_QUOTAS, Store } from '@dormouse/store';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ApiClient } from '../testing/api-client.js';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';

let plane: TestControlPlane;
let api: ApiClient;
let teamId: string;
beforeAll(async () => {
  plane = await startTestControlPlane();
}, 60_000);
afterAll(() => plane.close(), 60_000);
beforeEach(async () => {
  plane.host.reset();
  const team = await plane.newTeam();
  teamId = team.teamId;
  api = new ApiClient(plane, team.key);
});

const setQuotas = (quotas: Partial<typeof NO_QUOTAS>) =>
  plane.services.store.system.setQuotas(teamId, { ...NO_QUOTAS, ...quotas });
const usage = async () => (await api.ask<Usage>('GET', '/v1/usage')).body;
const refused = (message: string) => ({ status: 429, code: 'quota_exceeded', message });

describe('a quota', () => {
  test('of running sandboxes holds for creating, forking and resuming', async () => {
    await setQuotas({ running: 2 });
    const [one, two] = [await api.create(), await api.create()];
    const full = refused(
      'the team has 2 of 2 running sandboxes. Pause or delete one, or ask for a higher quota.',
    );
    expect(await api.refusal('POST', '/v1/sandboxes', {})).toEqual(full);
    expect(await api.refusal('POST', `/v1/sandboxes/${one.id}/fork`)).toEqual(full);
    await api.post(`/v1/sandboxes/${one.id}/pause`);
    const three = await api.create();
    expect(await api.refusal('POST', `/v1/sandboxes/${one.id}/resume`)).toEqual(full);
    expect((await api.sandbox(one.id)).state).toBe('paused');
    await api.ask('DELETE', `/v1/sandboxes/${two.id}`);
    expect((await api.post(`/v1/sandboxes/${one.id}/resume`)).body.state).toBe('running');
    expect(await usage()).toEqual({
      running: { used: 2, limit: 2 },
      paused: { used: 0, limit: null },
      snapshot_bytes: { used: 0, limit: null },
    });
    expect((await api.sandbox(three.id)).state).toBe('running');
  });

  test('of paused sandboxes leaves the one that would exceed it running', async () => {
    await setQuotas({ paused: 1 });
    const [one, two] = [await api.create(), await api.create()];
    await api.post(`/v1/sandboxes/${one.id}/pause`);
    expect(await api.refusal('POST', `/v1/sandboxes/${two.id}/pause`)).toEqual(
      refused('the team has 1 of 1 paused sandboxes. Delete one, or ask for a higher quota.'),
    );
    expect((await api.sandbox(two.id)).state).toBe('running');
  });

  test('of bytes of snapshots holds as soon as it is reached', async () => {
    await setQuotas({ snapshotBytes: 1_500 });
    const { id } = await api.create();
    for (const name of ['a', 'b']) await api.snapshot({ sandbox_id: id, name });
    expect(await api.refusal('POST', '/v1/snapshots', { sandbox_id: id })).toEqual(
      refused(
        'the team has 2000 of 1500 bytes of snapshots. Delete snapshots that you do not need, or ask for a higher quota.',
      ),
    );
    expect((await usage()).snapshot_bytes).toEqual({ used: 2_000, limit: 1_500 });
    await api.ask('DELETE', '/v1/snapshots/a');
    expect((await api.snapshot({ sandbox_id: id, name: 'c' })).name).toBe('c');
  });

  test('of nothing at all lets nothing begin, and another team is not counted', async () => {
    await setQuotas({ running: 0 });
    const refusals = async () => (await plane.services.metrics.quotaRefusals.get()).values[0]?.value ?? 0;
    const before = await refusals();
    expect((await api.refusal('POST', '/v1/sandboxes', {})).code).toBe('quota_exceeded');
    expect(await refusals()).toBe(before + 1);
    const other = new ApiClient(plane, (await plane.newTeam()).key);
    expect((await other.create()).state).toBe('running');
  });

  test('is not exceeded by two control planes that insert at once', async () => {
    const store = await Store.open({ databaseUrl: plane.databaseUrl });
    try {
      await setQuotas({ running: 5 });
      const teams = [plane.services.store, store].map((one) => one.forTeam(teamId).sandboxes);
      const attempts = await Promise.allSettled(
        Array.from({ length: 20 }, (_, index) =>
          teams[index % 2]!.insert({
            id: `sbquota${String(index).padStart(15, '0')}`,
            template: 'base',
            imageId: 'img-1',
            vcpus: 1,
            memoryMb: 128,
            diskMb: 1024,
            timeoutSec: 0,
            onTimeout: 'pause',
            onMemoryLoss: 'reboot',
            internet: true,
            envs: {},
            metadata: {},
            hostId: 'host-1',
          }),
        ),
      );
      expect(attempts.filter(({ status }) => status === 'fulfilled')).toHaveLength(5);
      for (const attempt of attempts) {
        if (attempt.status === 'rejected') expect(attempt.reason).toMatchObject({ code: 'quota_exceeded' });
      }
    } finally {
      await store.close();
    }
  });
});
