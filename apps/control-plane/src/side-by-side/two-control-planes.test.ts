import { setTimeout as wait } from 'node:timers/promises';
import type { CreatedApiKey, Event, Sandbox, Session, Snapshot, TemplateBuild } from '@dormouse/contracts';
import { NO_QUOTAS } from '@dormouse/store';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Bell } from '../flow/bell.js';
import { keepAlive } from '../keep-alive.js';
import { reconcileForEver } from '../reconciler/loop.js';
import { reconcileOnce } from '../reconciler/reconcile.js';
import { openBuildJobs } from '../templates/build-jobs.js';
import { type Answer, ApiClient } from '../testing/api-client.js';
import { startBeside, startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';
import { EventReader } from '../testing/event-reader.js';
import { gate } from '../testing/gate.js';
import { guestScript } from '../testing/guest-script.js';
import { type LivingHost, livingHost } from '../testing/living-host.js';
import { ask, newPerson, PASSWORD, type Refusal } from '../testing/people.js';
import { Receiver, take } from '../testing/receiver.js';
import { WebhookWorker } from '../webhooks/worker.js';

/** The bound for a true state after a crash. */
const BOUND_MS = 10_000;
const PLENTY = { limit: 1_000_000, windowSec: 60 };
const LIMITS = {
  signUps: PLENTY,
  logIns: PLENTY,
  logInsOfEmail: { limit: 4, windowSec: 3_600 },
  keyFailures: PLENTY,
};
const WEBHOOKS = {
  allowPrivate: true,
  resolve: async () => [{ address: '127.0.0.1', family: 4 }],
};

let first: TestControlPlane;
let second: TestControlPlane;
let host: LivingHost;
/** The same team, asked at the one and at the other. */
let a: ApiClient;
let b: ApiClient;
let key: string;
let teamId: string;
let stop: AbortController;
let working: Promise<unknown>;

beforeAll(async () => {
  first = await startTestControlPlane({ limits: LIMITS }, WEBHOOKS);
  second = await startBeside(first, { limits: LIMITS }, WEBHOOKS);
  host = livingHost();
  first.host.script({ ...guestScript(), ...host.script });
  stop = new AbortController();
  working = Promise.all([first, second].map(({ services }) => work(services, stop.signal)));
}, 60_000);
afterAll(async () => {
  stop?.abort();
  await working;
  await second?.close();
  await first?.close();
}, 60_000);

/** Every test has a team of its own; the host goes on. */
beforeEach(async () => {
  host.told.length = 0;
  host.before = async () => undefined;
  host.beforeAnswer = async () => undefined;
  ({ teamId, key } = await first.newTeam());
  a = new ApiClient(first, key);
  b = new ApiClient(second, key);
});

/** What a control plane does besides answering. */
function work(services: TestControlPlane['services'], signal: AbortSignal): Promise<unknown> {
  return Promise.all([
    reconcileForEver(services, new Bell(), signal),
    keepAlive(services, signal),
    new WebhookWorker(services).run(signal),
  ]);
}

async function live(plane: TestControlPlane): Promise<EventReader> {
  const headers = { 'x-api-key': key, accept: 'text/event-stream' };
  return new EventReader(await plane.request('/v1/events', { headers }));
}

/** The same request at both, `count` times in all, begun before any of them is answered. */
function atBoth<Body>(count: number, method: string, path: string, json?: unknown): Promise<Answer<Body>[]> {
  return Promise.all(
    Array.from({ length: count }, (_, index) => (index % 2 === 0 ? a : b).ask<Body>(method, path, json)),
  );
}

const statuses = (answers: readonly Answer<unknown>[]) => answers.map(({ status }) => status).toSorted();
const toldTo = (what: string) => host.told.filter((said) => said.startsWith(`${what} `));

describe('hazard 8: two control planes on one database', () => {
  test('lead one life, told by either, seen at once by the other, and told of once and in order at both', async () => {
    await using receiver = await Receiver.start(take);
    await a.post('/v1/webhooks', { url: receiver.url });
    const readers = [await live(first), await live(second)];
    const { id } = await a.create();
    const at = async (api: ApiClient) => (await api.sandbox(id)).state;
    expect(await at(b)).toBe('running');
    expect((await b.post(`/v1/sandboxes/${id}/pause`)).body.state).toBe('paused');
    expect(await at(a)).toBe('paused');
    expect((await a.post(`/v1/sandboxes/${id}/resume`)).body.state).toBe('running');
    expect(await at(b)).toBe('running');
    const fork = await b.post<{ results: { sandbox: Sandbox }[] }>(`/v1/sandboxes/${id}/fork`);
    const child = fork.body.results[0]!.sandbox.id;
    expect((await a.sandbox(child)).state).toBe('running');
    const kept = await a.snapshot({ sandbox_id: child, name: 'kept' });
    expect((await b.ask<Snapshot>('GET', '/v1/snapshots/kept')).body).toEqual(kept);
    const again = await b.create({ template: 'kept' });
    expect((await a.sandbox(again.id)).parent_snapshot).toBe(kept.id);
    expect((await a.ask('DELETE', `/v1/sandboxes/${id}`)).status).toBe(204);
    expect((await b.refusal('GET', `/v1/sandboxes/${id}`)).code).toBe('not_found');
    expect((await b.refusal('POST', `/v1/sandboxes/${id}/resume`)).code).toBe('not_found');

    const happened = [
      `sandbox.created ${id}`,
      `sandbox.started ${id}`,
      `sandbox.paused ${id}`,
      `sandbox.resumed ${id}`,
      `sandbox.created ${child}`,
      `sandbox.forked ${id}`,
      `sandbox.started ${child}`,
      `snapshot.created ${child}`,
      `sandbox.created ${again.id}`,
      `sandbox.started ${again.id}`,
      `sandbox.deleted ${id}`,
    ];
    const streams = await Promise.all(readers.map((reader) => reader.next(happened.length)));
    const said = ({ type, sandbox_id }: Event) => `${type} ${sandbox_id}`;
    expect(streams[0]!.map(said)).toEqual(happened);
    expect(streams[1]).toEqual(streams[0]);
    await receiver.count(happened.length);
    expect(receiver.eventIds.toSorted()).toEqual(streams[0]!.map((event) => event.id).toSorted());
    for (const reader of readers) await reader[Symbol.asyncDispose]();
    expect(host.told.map((what) => what.split(' ')[0])).toEqual([
      ...['create', 'pause', 'resume', 'fork', 'keep', 'create', 'destroy'],
    ]);
  });

  test.each([
    ['pause', 'paused'],
    ['resume', 'running'],
  ] as const)('%s it once, however many ask at both', async (what, state) => {
    const { id } = await a.create();
    if (what === 'resume') await b.post(`/v1/sandboxes/${id}/pause`);
    await using reader = await live(second);
    const [begun, finish] = [gate(), gate()];
    host.before = async () => {
      begun.open();
      await finish.opened;
    };
    const answers = atBoth<Sandbox>(10, 'POST', `/v1/sandboxes/${id}/${what}`);
    await begun.opened;
    // The others have found somebody at work by then, and wait.
    await wait(200);
    finish.open();
    expect((await answers).map(({ status, body }) => [status, body.id, body.state])).toEqual(
      Array(10).fill([200, id, state]),
    );
    expect(toldTo(what)).toEqual([`${what} ${id}`]);
    await a.ask('DELETE', `/v1/sandboxes/${id}`);
    expect((await reader.next(2)).map(({ type }) => type)).toEqual([`sandbox.${what}d`, 'sandbox.deleted']);
  });

  test('answer what they have started, however often the other one reconciles before the host has answered', async () => {
    const begun: Promise<unknown>[] = [];
    host.beforeAnswer = async () => {
      const rounds = [reconcileOnce(second.services), reconcileOnce(second.services)];
      begun.push(...rounds);
      await Promise.all(rounds);
    };
    const created = await a.post<Sandbox>('/v1/sandboxes', {});
    expect([created.status, created.body.state]).toEqual([201, 'running']);
    const { id } = created.body;
    const forked = await a.post<{ results: { sandbox?: Sandbox; error?: unknown }[] }>(
      `/v1/sandboxes/${id}/fork`,
      { count: 3 },
    );
    expect(forked.body.results.map(({ sandbox, error }) => [sandbox?.state, error])).toEqual(
      Array(3).fill(['running', undefined]),
    );
    expect(begun).toHaveLength(4);
    const { sandboxes } = (await b.ask<{ sandboxes: Sandbox[] }>('GET', '/v1/sandboxes')).body;
    const answered = [id, ...forked.body.results.map(({ sandbox }) => sandbox?.id)];
    expect(sandboxes.map((sandbox) => sandbox.id).toSorted()).toEqual(answered.toSorted());
    expect(toldTo('destroy')).toEqual([]);
  });

  test('answer a new sandbox that its host has paused by its timeout already', async () => {
    host.beforeAnswer = async () => {
      const { id, generation } = [...host.sandboxes.values()].at(-1)!;
      await second.services.store.system.events.record('host-1', [
        {
          type: 'sandbox.auto_paused',
          ledTo: 'paused',
          number: Date.now(),
          sandboxId: id,
          generation: Number(generation),
          at: new Date(),
          reason: null,
          key: null,
        },
      ]);
    };
    const created = await a.post<Sandbox>('/v1/sandboxes', { timeout_sec: 1 });
    expect([created.status, created.body.state]).toEqual([201, 'paused']);
  });

  test('give a name to one, of snapshots and of projects', async () => {
    const sandboxes = [await a.create(), await b.create()];
    const snapshots = await Promise.all(
      Array.from({ length: 8 }, (_, index) =>
        (index % 2 === 0 ? a : b).post('/v1/snapshots', {
          sandbox_id: sandboxes[index % 2]!.id,
          name: 'wanted',
        }),
      ),
    );
    expect(statuses(snapshots)).toEqual([201, ...Array(7).fill(409)]);
    const projects = await atBoth(8, 'POST', '/v1/projects', { name: 'wanted' });
    expect(statuses(projects)).toEqual([201, ...Array(7).fill(409)]);
  });

  test('share quotas: of ten that want to run at once three do', async () => {
    await first.services.store.system.setQuotas(teamId, { ...NO_QUOTAS, running: 3 });
    const created = await atBoth<Sandbox>(10, 'POST', '/v1/sandboxes', {});
    expect(statuses(created)).toEqual([...Array(3).fill(201), ...Array(7).fill(429)]);
    expect(toldTo('create')).toHaveLength(3);
    const { id } = created.find(({ status }) => status === 201)!.body;
    await a.post(`/v1/sandboxes/${id}/pause`);
    expect((await b.create()).state).toBe('running');
    expect((await a.refusal('POST', `/v1/sandboxes/${id}/resume`)).code).toBe('quota_exceeded');
  });

  test('let the same people in, and nobody any more whom either has sent away', async () => {
    const owner = await newPerson(first);
    const member = await newPerson(second);
    const members = `/v1/teams/${owner.team.id}/members`;
    const { token } = owner;
    const json = { email: member.user.email };
    expect((await ask(second, 'POST', members, { token, json })).status).toBe(201);
    const there = await ask<Session>(first, 'POST', '/v1/auth/switch-team', {
      token: member.token,
      json: { team_id: owner.team.id },
    });
    const made = await ask<CreatedApiKey>(first, 'POST', '/v1/api-keys', { token, json: { name: 'k' } });
    const credentials = [there.body.token, made.body.key];
    const at = (plane: TestControlPlane) =>
      Promise.all(
        credentials.map(async (one) => (await ask(plane, 'GET', '/v1/sandboxes', { token: one })).status),
      );
    expect([await at(first), await at(second)]).toEqual([
      [200, 200],
      [200, 200],
    ]);
    await ask(second, 'DELETE', `/v1/api-keys/${made.body.id}`, { token });
    await ask(second, 'DELETE', `${members}/${member.user.id}`, { token });
    expect([await at(first), await at(second)]).toEqual([
      [401, 401],
      [401, 401],
    ]);
  });

  test('count failed logins together', async () => {
    const { user } = await newPerson(first);
    const logIn = (plane: TestControlPlane, password: string) =>
      ask<Refusal>(plane, 'POST', '/v1/auth/login', { json: { email: user.email, password } });
    for (const plane of [first, second, first, second]) {
      expect((await logIn(plane, 'wrong')).status).toBe(401);
    }
    for (const plane of [first, second]) expect((await logIn(plane, PASSWORD)).status).toBe(429);
  });

  test('build what either was asked for, and tell of it alike', async () => {
    const jobs = await openBuildJobs(second.databaseUrl, second.services.log);
    const worker = await jobs.start(second.services);
    try {
      const steps = [{ type: 'run', command: 'make' }];
      const { body } = await a.post<TemplateBuild>('/v1/templates', { name: 'made', steps });
      const path = `/v1/templates/builds/${body.id}/logs?follow=true`;
      const headers = { 'x-api-key': key };
      const logs = await Promise.all(
        [first, second].map(async (plane) => (await plane.request(path, { headers })).text()),
      );
      expect(logs[1]).toBe(logs[0]);
      expect(logs[0]).toContain('ready: made');
      expect((await a.ask<TemplateBuild>('GET', `/v1/templates/builds/${body.id}`)).body.state).toBe('ready');
      expect((await b.create({ template: 'made' })).state).toBe('running');
    } finally {
      await worker.stop();
      await jobs.close();
    }
  });

  test.each([
    ['pause', 'paused'],
    ['resume', 'running'],
  ] as const)(
    'hazard 9: finish what a third one died of in the middle of a %s, with its event',
    async (what, state) => {
      const { id } = await a.create();
      if (what === 'resume') await a.post(`/v1/sandboxes/${id}/pause`);
      const third = await startBeside(first, { limits: LIMITS });
      await using reader = await live(second);
      const [begun, finish] = [gate(), gate()];
      host.before = async () => {
        begun.open();
        await finish.opened;
      };
      const cutOff = new ApiClient(third, key).post(`/v1/sandboxes/${id}/${what}`);
      await begun.opened;
      // As if killed: it says nothing any more, not even that it ends, and what the host answers reaches no row.
      await third.services.store.close();
      const diedMs = performance.now();
      finish.open();
      expect((await cutOff).status).toBe(500);
      while ((await b.sandbox(id)).state !== state) {
        expect(performance.now() - diedMs).toBeLessThan(BOUND_MS);
        await wait(50);
      }
      expect((await a.sandbox(id)).state).toBe(state);
      expect((await reader.next(1)).map(({ type }) => type)).toEqual([`sandbox.${what}d`]);
      await third.server.stop();
    },
  );
});
