import type { CreatedApiKey, Event, EventList } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import { HostEventKind, PauseCause, SandboxState } from '@dormouse/host-api';
import { Store } from '@dormouse/store';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Bell } from '../flow/bell.js';
import { recordEvents } from '../host-events/record.js';
import { watchHost } from '../host-events/watch.js';
import { reconcileOnce } from '../reconciler/reconcile.js';
import { ApiClient } from '../testing/api-client.js';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';
import { EventReader } from '../testing/event-reader.js';

let plane: TestControlPlane;
let api: ApiClient;
let key: string;
let teamId: string;
beforeAll(async () => {
  plane = await startTestControlPlane();
}, 60_000);
afterAll(() => plane.close(), 60_000);
beforeEach(async () => {
  plane.host.reset();
  ({ key, teamId } = await plane.newTeam());
  api = new ApiClient(plane, key);
});

let told = 0;
/** What a host tells of. Numbers never come twice, also between tests. */
function hostEvent(kind: HostEventKind, sandboxId: string, more: object = {}) {
  told += 1;
  return {
    number: BigInt(told),
    kind,
    sandboxId,
    generation: 1n,
    atMs: BigInt(Date.parse('2026-01-02T03:04:05.678Z')),
    reason: 'it was not used for 60 s',
    key: '',
    ...more,
  };
}

const past = async (path: string) => (await api.ask<EventList>('GET', path)).body;
const types = async (id: string) =>
  (await past(`/v1/sandboxes/${id}/events`)).events.map(({ type }) => type).reverse();

async function live(path: string, headers: Record<string, string> = {}): Promise<EventReader> {
  const answer = await plane.request(path, {
    headers: { 'x-api-key': key, accept: 'text/event-stream', ...headers },
  });
  return new EventReader(answer);
}

describe('events', () => {
  test('tell the life of a sandbox and who changed it, in the transaction of each change', async () => {
    const { id } = await api.create({ timeout_sec: 60 });
    await api.post(`/v1/sandboxes/${id}/pause`);
    plane.host.script({
      resumeSandbox: () => {
        throw new DormouseError('restore_failed', 'the guest did not answer');
      },
    });
    await api.refusal('POST', `/v1/sandboxes/${id}/resume`);
    plane.host.reset();
    await api.post(`/v1/sandboxes/${id}/resume`, { reboot: true });
    plane.host.script({
      pauseSandbox: () => {
        throw new DormouseError('no_space', 'the disk is full');
      },
    });
    await api.refusal('POST', `/v1/sandboxes/${id}/pause`);
    const snapshot = await api.snapshot({ sandbox_id: id, name: 'kept' });
    const fork = await api.post<{ results: { sandbox: { id: string } }[] }>(`/v1/sandboxes/${id}/fork`);
    const { events } = await past(`/v1/sandboxes/${id}/events`);
    expect(events.map(({ type, reason, data }) => [type, reason, data]).reverse()).toEqual([
      ['sandbox.created', null, { template: 'base', parent_snapshot: null }],
      ['sandbox.started', null, {}],
      ['sandbox.paused', null, {}],
      ['sandbox.resume_failed', 'the guest did not answer', {}],
      ['sandbox.resumed', null, { resumed_by: 'reboot' }],
      ['sandbox.pause_failed', 'the disk is full', {}],
      ['snapshot.created', null, { name: 'kept' }],
      ['sandbox.forked', null, { children: [fork.body.results[0]?.sandbox.id] }],
    ]);
    expect(new Set(events.map(({ actor }) => actor.replace(/[0-9a-f-]{36}$/, 'ID')))).toEqual(
      new Set(['key:ID']),
    );
    expect(events.find(({ type }) => type === 'snapshot.created')).toMatchObject({
      snapshot_id: snapshot.id,
    });
    await api.ask('DELETE', `/v1/sandboxes/${id}`);
    expect((await api.refusal('GET', `/v1/sandboxes/${id}/events`)).code).toBe('not_found');
    const all = await past('/v1/events?limit=1');
    expect(all.events.map(({ type, sandbox_id }) => [type, sandbox_id])).toEqual([['sandbox.deleted', id]]);
    const next = await past(`/v1/events?limit=1&cursor=${all.next_cursor}`);
    expect(next.events[0]?.type).toBe('sandbox.started');
  });

  test('hazard 14: are those of the team alone', async () => {
    const { id } = await api.create();
    const stranger = new ApiClient(plane, (await plane.newTeam()).key);
    expect((await stranger.refusal('GET', `/v1/sandboxes/${id}/events`)).code).toBe('not_found');
    expect((await stranger.ask<EventList>('GET', '/v1/events')).body.events).toEqual([]);
    const answer = await plane.request(`/v1/sandboxes/${id}/events`, {
      headers: { 'x-api-key': (await plane.newTeam()).key, accept: 'text/event-stream' },
    });
    expect(answer.status).toBe(404);
  });

  test('of a position that is none are refused', async () => {
    for (const [path, headers] of [
      ['/v1/events?cursor=x', {}],
      ['/v1/events?after=-1', { accept: 'text/event-stream' }],
      ['/v1/events', { accept: 'text/event-stream', 'last-event-id': 'x' }],
    ] as const) {
      const answer = await plane.request(path, { headers: { 'x-api-key': key, ...headers } });
      expect([path, answer.status]).toEqual([path, 400]);
    }
  });
});

describe('a live stream', () => {
  test('begins now, goes on where it broke off, and ends with the sandbox', async () => {
    const { id } = await api.create();
    const path = `/v1/sandboxes/${id}/events`;
    let last: Event;
    {
      await using stream = await live(path);
      await api.post(`/v1/sandboxes/${id}/pause`);
      [last] = (await stream.next(1)) as [Event];
      expect(last.type).toBe('sandbox.paused');
    }
    await api.post(`/v1/sandboxes/${id}/resume`);
    await using again = await live(path, { 'last-event-id': last.id });
    expect((await again.next(1)).map(({ type }) => type)).toEqual(['sandbox.resumed']);
    await api.ask('DELETE', `/v1/sandboxes/${id}`);
    expect((await again.next(1)).map(({ type }) => type)).toEqual(['sandbox.deleted']);
    expect(await again.ends()).toBe(true);
  });

  test('from the beginning has all there is, however much that is', async () => {
    const { id } = await api.create();
    const { events } = plane.services.store.forTeam(teamId);
    for (let index = 0; index < 250; index++) {
      await events.add({ type: 'sandbox.forked', sandboxId: id, data: { index } });
    }
    await using stream = await live('/v1/events?after=0');
    const seen = await stream.next(252);
    expect(seen.slice(2).map(({ data }) => data.index)).toEqual(Array.from({ length: 250 }, (_, i) => i));
  });

  test('hazard 14: ends soon for a key that was deleted, and for that one alone', async () => {
    const { body: other } = await api.post<CreatedApiKey>('/v1/api-keys', { name: 'other' });
    await using stays = await live('/v1/events');
    await using goes = await live('/v1/events', { 'x-api-key': other.key });
    const { id } = await api.create();
    expect(await goes.next(2)).toHaveLength(2);
    await api.ask('DELETE', `/v1/api-keys/${other.id}`);
    expect(await goes.ends()).toBe(true);
    await api.ask('DELETE', `/v1/sandboxes/${id}`);
    expect((await stays.next(3)).at(-1)?.type).toBe('sandbox.deleted');
    expect((await plane.request('/v1/events', { headers: { 'x-api-key': other.key } })).status).toBe(401);
  });

  test('has every event once and in order, whichever of two control planes wrote it, and soon', async () => {
    const other = await Store.open({ databaseUrl: plane.databaseUrl });
    try {
      await using stream = await live('/v1/events');
      const teams = [plane.services.store, other].map((store) => store.forTeam(teamId));
      await Promise.all(
        Array.from({ length: 100 }, (_, index) =>
          teams[index % 2]!.events.add({ type: 'sandbox.forked', data: { index } }),
        ),
      );
      const seen = await stream.next(100);
      const ids = seen.map(({ id }) => Number(id));
      expect(ids).toEqual(ids.toSorted((a, b) => a - b));
      expect(new Set(seen.map(({ data }) => data.index)).size).toBe(100);
      const startedMs = performance.now();
      await other.forTeam(teamId).events.add({ type: 'sandbox.forked' });
      await stream.next(1);
      expect(performance.now() - startedMs).toBeLessThan(3_000);
    } finally {
      await other.close();
    }
  });
});

describe('what a host has done by itself', () => {
  test('hazard 9: auto-paused while the control plane was down, a sandbox is paused, with the event', async () => {
    const { id } = await api.create({ timeout_sec: 60 });
    const acknowledged: bigint[] = [];
    const event = hostEvent(HostEventKind.AUTO_PAUSED, id, { key: 'gn1' });
    plane.host.script({
      listSandboxes: () => ({
        sandboxes: [{ id, generation: 1n, state: SandboxState.PAUSED, pauseCause: PauseCause.TIMEOUT }],
      }),
      listEvents: () => ({ events: [event] }),
      acknowledgeEvents: ({ number }) => {
        acknowledged.push(number);
        return {};
      },
    });
    await reconcileOnce(plane.services);
    expect(await api.sandbox(id)).toMatchObject({
      state: 'paused',
      reason: null,
      paused_at: '2026-01-02T03:04:05.678Z',
      expires_at: null,
    });
    expect(acknowledged).toEqual([event.number]);
    // The acknowledgement was lost, and a crash had the host tell it under another number as well.
    await reconcileOnce(plane.services);
    await recordEvents(plane.services, 'host-1', [
      {
        ...hostEvent(HostEventKind.AUTO_PAUSED, id, { key: 'gn1' }),
        $typeName: 'dormouse.host.v1.HostEvent',
      },
    ]);
    expect(await types(id)).toEqual(['sandbox.created', 'sandbox.started', 'sandbox.auto_paused']);
    const { events } = await past(`/v1/sandboxes/${id}/events?limit=1`);
    expect(events[0]).toMatchObject({
      actor: 'host:host-1',
      reason: 'it was not used for 60 s',
      at: '2026-01-02T03:04:05.678Z',
    });
  });

  test('killed by its timeout a sandbox is stopped for that reason, though the host has nothing of it', async () => {
    const { id } = await api.create({ timeout_sec: 60, on_timeout: 'kill' });
    plane.host.script({
      listSandboxes: () => ({ sandboxes: [] }),
      listEvents: () => ({ events: [hostEvent(HostEventKind.KILLED, id)] }),
    });
    await reconcileOnce(plane.services);
    expect(await api.sandbox(id)).toMatchObject({ state: 'stopped', reason: 'it was not used for 60 s' });
    expect(await types(id)).toEqual(['sandbox.created', 'sandbox.started', 'sandbox.killed']);
  });

  test('a VM that ended by itself leaves a sandbox that can be resumed, told apart from one that was paused', async () => {
    const { id } = await api.create();
    const reason = 'the guest powered off or restarted';
    const pauseCause = PauseCause.VM_ENDED;
    plane.host.script({
      listSandboxes: () => ({
        sandboxes: [{ id, generation: 1n, state: SandboxState.PAUSED, reason, pauseCause }],
      }),
      listEvents: () => ({ events: [hostEvent(HostEventKind.VM_ENDED, id, { reason })] }),
    });
    await reconcileOnce(plane.services);
    expect(await api.sandbox(id)).toMatchObject({ state: 'paused', reason });
    const { events } = await past(`/v1/sandboxes/${id}/events?limit=1`);
    expect(events[0]).toMatchObject({ type: 'sandbox.vm_ended', reason });
    expect(await types(id)).toEqual(['sandbox.created', 'sandbox.started', 'sandbox.vm_ended']);
  });

  test('a VM that ended by itself and left nothing is told apart from one that was paused', async () => {
    const { id } = await api.create();
    const reason = 'the guest powered off or restarted';
    plane.host.script({
      listSandboxes: () => ({ sandboxes: [{ id, generation: 1n, state: SandboxState.STOPPED, reason }] }),
      listEvents: () => ({ events: [hostEvent(HostEventKind.STOPPED, id, { reason })] }),
    });
    await reconcileOnce(plane.services);
    const said = `its virtual machine ended: ${reason}`;
    expect(await api.sandbox(id)).toMatchObject({ state: 'stopped', reason: said });
    const { events } = await past(`/v1/sandboxes/${id}/events?limit=1`);
    expect(events[0]).toMatchObject({ type: 'sandbox.stopped', reason: said });
  });

  test('hazard 9: an event of an earlier generation moves no later one', async () => {
    const { id } = await api.create();
    await api.post(`/v1/sandboxes/${id}/pause`);
    await api.post(`/v1/sandboxes/${id}/resume`);
    plane.host.script({
      listSandboxes: () => ({ sandboxes: [{ id, generation: 2n, state: SandboxState.RUNNING }] }),
      listEvents: () => ({ events: [hostEvent(HostEventKind.AUTO_PAUSED, id)] }),
    });
    await reconcileOnce(plane.services);
    expect((await api.sandbox(id)).state).toBe('running');
    expect((await types(id)).at(-1)).toBe('sandbox.auto_paused');
  });

  test('of a sandbox that this database does not know is let go of', async () => {
    const acknowledged: bigint[] = [];
    const event = hostEvent(HostEventKind.STOPPED, 'sbzzzzzzzzzzzzzzzzzzzz');
    plane.host.script({
      listEvents: () => ({ events: [event] }),
      acknowledgeEvents: ({ number }) => {
        acknowledged.push(number);
        return {};
      },
    });
    await reconcileOnce(plane.services);
    expect(acknowledged).toEqual([event.number]);
  });

  test('is followed as it happens, over connections that break, and rings for the reconciler', async () => {
    const { id } = await api.create({ timeout_sec: 60 });
    let connections = 0;
    plane.host.script({
      watchEvents: async function* () {
        connections += 1;
        yield { events: [] };
        if (connections === 1) throw new DormouseError('unavailable', 'the agent is restarting');
        yield { events: [hostEvent(HostEventKind.AUTO_PAUSED, id)] };
        await new Promise(() => {});
      },
    });
    const stop = new AbortController();
    const bell = new Bell();
    const watching = watchHost(plane.services, bell, stop.signal);
    await using stream = await live(`/v1/sandboxes/${id}/events`);
    expect((await stream.next(1))[0]).toMatchObject({ type: 'sandbox.auto_paused' });
    expect((await api.sandbox(id)).state).toBe('paused');
    await bell.wait(60_000, stop.signal);
    expect(connections).toBe(2);
    stop.abort();
    await watching;
  });
});
