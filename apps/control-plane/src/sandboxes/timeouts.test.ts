import type { Sandbox } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import { HostEventKind, OnMemoryLoss, OnTimeout, SandboxState } from '@dormouse/host-api';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ApiClient } from '../testing/api-client.js';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';

let plane: TestControlPlane;
let api: ApiClient;
beforeAll(async () => {
  plane = await startTestControlPlane();
  api = new ApiClient(plane);
}, 60_000);
afterAll(() => plane.close(), 60_000);
beforeEach(() => plane.host.reset());

const ACTIVE = new Date('2036-01-02T03:04:05.678Z');
/** A host on which a sandbox was used at a moment. */
const activeAt = (at: Date) => ({
  getSandbox: ({ id }: { id: string }) => ({ sandbox: { id, lastActiveAtMs: BigInt(at.getTime()) } }),
});

describe('a ping', () => {
  test('counts as activity on the host and in the database', async () => {
    const { id } = await api.create({ timeout_sec: 60 });
    plane.host.script({
      touchSandbox: () => ({ sandbox: { id, lastActiveAtMs: BigInt(ACTIVE.getTime()) } }),
    });
    expect((await api.post(`/v1/sandboxes/${id}/ping`)).status).toBe(204);
    expect(await api.sandbox(id)).toMatchObject({
      last_active_at: ACTIVE.toISOString(),
      expires_at: '2036-01-02T03:05:05.678Z',
    });
  });

  test('reaches who runs, of the own team alone', async () => {
    const { id } = await api.create({ timeout_sec: 60 });
    const stranger = new ApiClient(plane, (await plane.newTeam()).key);
    expect((await stranger.refusal('POST', `/v1/sandboxes/${id}/ping`)).code).toBe('not_found');
    await api.post(`/v1/sandboxes/${id}/pause`);
    expect(await api.refusal('POST', `/v1/sandboxes/${id}/ping`)).toMatchObject({
      status: 409,
      code: 'invalid_state',
    });
  });
});

describe('hazard 22: expires_at', () => {
  test('is as true as the host knows, one by one and in lists', async () => {
    const { id } = await api.create({ timeout_sec: 60 });
    const never = await api.create();
    plane.host.script({
      ...activeAt(ACTIVE),
      listSandboxes: () => ({ sandboxes: [{ id, lastActiveAtMs: BigInt(ACTIVE.getTime()) }] }),
    });
    const expected = {
      last_active_at: '2036-01-02T03:04:05.678Z',
      expires_at: '2036-01-02T03:05:05.678Z',
    };
    expect(await api.sandbox(id)).toMatchObject(expected);
    const { body } = await api.ask<{ sandboxes: Sandbox[] }>('GET', '/v1/sandboxes');
    expect(body.sandboxes.find((sandbox) => sandbox.id === id)).toMatchObject(expected);
    expect((await api.sandbox(never.id)).expires_at).toBeNull();
  });

  test('is as recorded when the host does not answer, and null while it does not run', async () => {
    const created = await api.create({ timeout_sec: 60 });
    expect(await api.sandbox(created.id)).toEqual(created);
    expect(Date.parse(created.expires_at ?? '') - Date.parse(created.last_active_at ?? '')).toBe(60_000);
    await api.post(`/v1/sandboxes/${created.id}/pause`);
    expect((await api.sandbox(created.id)).expires_at).toBeNull();
  });
});

describe('what the host is to do by itself', () => {
  test('goes to it with everything that begins a life', async () => {
    const asked: unknown[] = [];
    const answer = (id: string, generation: bigint) => ({ id, generation, state: SandboxState.RUNNING });
    plane.host.script({
      createSandbox: ({ id, generation, policy }) => {
        asked.push(policy);
        return { sandbox: answer(id, generation) };
      },
      forkSandbox: ({ children }) => {
        asked.push(children[0]?.policy);
        return { results: children.map(({ id, generation }) => ({ id, sandbox: answer(id, generation) })) };
      },
      resumeSandbox: ({ id, generation, policy }) => {
        asked.push(policy);
        return { sandbox: answer(id, generation) };
      },
      touchSandbox: ({ id, policy }) => {
        asked.push(policy);
        return { sandbox: { id } };
      },
    });
    const sandbox = await api.create({ timeout_sec: 60, on_timeout: 'kill', on_memory_loss: 'fail' });
    expect(sandbox).toMatchObject({ timeout_sec: 60, on_timeout: 'kill', on_memory_loss: 'fail' });
    const path = `/v1/sandboxes/${sandbox.id}`;
    await api.post(`${path}/fork`, { timeout_sec: 7 });
    await api.post(`${path}/pause`);
    await api.post(`${path}/resume`, { timeout_sec: 8 });
    await api.post(`${path}/resume`, { timeout_sec: 9, on_memory_loss: 'reboot' });
    await api.post(`${path}/resume`);
    const policy = { onTimeout: OnTimeout.KILL, onMemoryLoss: OnMemoryLoss.FAIL };
    expect(asked.slice(0, 4)).toMatchObject([
      { ...policy, timeoutSec: 60 },
      { ...policy, timeoutSec: 7 },
      { ...policy, timeoutSec: 8 },
      { ...policy, timeoutSec: 9, onMemoryLoss: OnMemoryLoss.REBOOT },
    ]);
    expect(asked.slice(4)).toEqual([undefined]);
    expect(await api.sandbox(sandbox.id)).toMatchObject({ timeout_sec: 9, on_memory_loss: 'reboot' });
  });
});

test('hazard 22: a sandbox that falls asleep while it is resumed is resumed', async () => {
  const { id } = await api.create({ timeout_sec: 60 });
  let events: object[] = [];
  plane.host.script({
    touchSandbox: () => {
      const kind = HostEventKind.AUTO_PAUSED;
      events = [{ number: 1n, kind, sandboxId: id, generation: 1n, atMs: BigInt(Date.now()) }];
      throw new DormouseError('invalid_state', 'the sandbox is being paused or ended: its time has passed');
    },
    listEvents: () => ({ events }),
  });
  const { status, body } = await api.post(`/v1/sandboxes/${id}/resume`);
  expect([status, body.state, body.resumed_by]).toEqual([200, 'running', 'memory']);
});

describe('a host that does not answer', () => {
  test('hazard 5: is unreachable and back; its sandboxes are kept, and say so', async () => {
    const { id } = await api.create({ timeout_sec: 60 });
    const { system } = plane.services.store;
    expect(await system.markUnreachable(60_000)).toEqual([]);
    expect(await system.markUnreachable(-1)).toEqual(['host-1']);
    expect(await system.markUnreachable(-1)).toEqual([]);
    expect(await api.sandbox(id)).toMatchObject({ state: 'running', host_state: 'unreachable' });
    expect(await api.refusal('POST', `/v1/sandboxes/${id}/exec`, { cmd: 'true' })).toEqual({
      status: 503,
      code: 'unavailable',
      message: `the host host-1 of the sandbox ${id} does not answer. Try again in a while: the sandbox is kept as it is until its host is back.`,
    });
    const metrics = await (await fetch(`${plane.url}/metrics`)).text();
    expect(metrics).toMatch(/^dormouse_hosts\{state="unreachable"\} 1$/m);
    await api.create();
    expect(await api.sandbox(id)).toMatchObject({ state: 'running', host_state: 'online' });
  });

  test('is not asked for more patience than a reader has', async () => {
    const { id } = await api.create({ timeout_sec: 60 });
    plane.host.script({
      getSandbox: () => {
        throw new DormouseError('unavailable', 'gone');
      },
    });
    expect((await api.sandbox(id)).state).toBe('running');
  });
});
