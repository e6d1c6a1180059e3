import type { WebhookDelivery, WebhookDeliveryList, WebhookWithSecret } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import { Client, verifyWebhook } from '@dormouse/sdk';
import { Store } from '@dormouse/store';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Services } from '../context.js';
import { ApiClient } from '../testing/api-client.js';
import { startTestControlPlane, type TestControlPlane } from '../testing/control-plane.js';
import { type Received, Receiver, type ReceiverAnswer, take } from '../testing/receiver.js';
import { MAX_ATTEMPTS } from './schedule.js';
import { WebhookSender } from './sender.js';
import { WebhookWorker, type WorkerOptions } from './worker.js';

let plane: TestControlPlane;
let api: ApiClient;
let teamId: string;
let key: string;
let lookups: string[] = [];
const running: { stop: AbortController; done: Promise<void> }[] = [];

const resolve = async (name: string) => {
  lookups.push(name);
  return [{ address: '127.0.0.1', family: 4 }];
};

beforeAll(async () => {
  plane = await startTestControlPlane({}, { allowPrivate: true, resolve, timeoutMs: 3_000 });
}, 60_000);
afterAll(() => plane.close(), 60_000);

beforeEach(async () => {
  ({ teamId, key } = await plane.newTeam());
  api = new ApiClient(plane, key);
  lookups = [];
});
afterEach(async () => {
  for (const { stop } of running) stop.abort();
  await Promise.all(running.splice(0).map(({ done }) => done));
  // What is pending would come in the next test.
  const { webhooks } = plane.services.store.forTeam(teamId);
  for (const { id } of (await webhooks.list({ limit: 100 })).items) await webhooks.delete(id);
});

function work(services: Services = plane.services): void {
  const stop = new AbortController();
  running.push({ stop, done: new WebhookWorker(services).run(stop.signal) });
}

/** A worker whose clock stands still until a test turns it. */
async function byHand(random = 0.5): Promise<{ worker: WebhookWorker; clock: { at: Date } }> {
  const clock = { at: await plane.services.store.system.now() };
  const options: WorkerOptions = { clock: async () => clock.at, random: () => random };
  return { worker: new WebhookWorker(plane.services, options), clock };
}

async function round(worker: WebhookWorker): Promise<number> {
  const begun = await worker.begin();
  await worker.idle();
  return begun;
}

const happen = (store: Store = plane.services.store, data: Record<string, unknown> = {}) =>
  store.forTeam(teamId).events.add({ type: 'sandbox.forked', data });
const hook = async (json: object) => (await api.post<WebhookWithSecret>('/v1/webhooks', json)).body;
const log = async (id: string) =>
  (await api.ask<WebhookDeliveryList>('GET', `/v1/webhooks/${id}/deliveries`)).body.deliveries;

/** Looks until a delivery has ended: its receiver knows before the log does. */
async function ended(id: string): Promise<WebhookDelivery> {
  for (let tries = 0; tries < 400; tries++) {
    const [delivery] = await log(id);
    if (delivery !== undefined && delivery.state !== 'pending') return delivery;
  }
  throw new Error('the delivery is still pending');
}

const answer =
  (status: number, headers: Record<string, string> = {}): ReceiverAnswer =>
  (response) =>
    response.writeHead(status, headers).end('{}');
const hangUp: ReceiverAnswer = (response) => response.socket?.destroy();
const nothing: ReceiverAnswer = () => {};

describe('a delivery', () => {
  test('of a sandbox’s event is as documented, and in the log', async () => {
    await using receiver = await Receiver.start(take);
    const { id } = await hook({ url: receiver.url, events: ['sandbox.created'] });
    work();
    const sandbox = await api.create();
    await receiver.count(1);
    const delivery = await ended(id);
    const events = await api.ask<{ events: { id: string; type: string }[] }>('GET', '/v1/events');
    const event = events.body.events.find(({ type }) => type === 'sandbox.created');
    const [{ headers, body }] = receiver.received as [(typeof receiver.received)[0]];
    expect(JSON.parse(body)).toEqual(event);
    expect(event).toMatchObject({ sandbox_id: sandbox.id });
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'user-agent': 'Dormouse-Webhooks',
      'dormouse-signature': expect.stringMatching(/^t=\d{10},v1=[0-9a-f]{64}$/),
      'dormouse-webhook-id': id,
      'dormouse-event-id': event?.id,
      'dormouse-event-type': 'sandbox.created',
      'dormouse-attempt': '1',
      'dormouse-delivery-id': delivery.id,
    });
    expect(delivery).toEqual({
      id: delivery.id,
      event_id: event?.id,
      event_type: 'sandbox.created',
      state: 'delivered',
      attempts: 1,
      next_attempt_at: null,
      last_attempt_at: expect.stringMatching(/Z$/),
      last_status: 204,
      last_error: null,
      durations_ms: [expect.any(Number)],
      created_at: expect.stringMatching(/Z$/),
    });
    expect(receiver.received).toHaveLength(1);
  });

  test('that failed comes again: after a 500, after a hang-up, after silence', async () => {
    await using receiver = await Receiver.start(answer(500), hangUp, nothing, take);
    const { id } = await hook({ url: receiver.url });
    await happen();
    const { worker, clock } = await byHand();
    const seen: unknown[] = [];
    for (let attempt = 1; attempt <= 4; attempt++) {
      expect(await round(worker)).toBe(1);
      const [delivery] = await log(id);
      seen.push([delivery?.state, delivery?.attempts, delivery?.last_status, delivery?.last_error]);
      clock.at = new Date(clock.at.getTime() + 600_000);
    }
    expect(seen).toEqual([
      ['pending', 1, 500, 'answered 500'],
      ['pending', 2, null, 'the receiver hung up (ECONNRESET)'],
      ['pending', 3, null, 'no answer within 3000 ms'],
      ['delivered', 4, 204, null],
    ]);
    expect(new Set(receiver.eventIds).size).toBe(1);
    expect(receiver.received.map(({ headers }) => headers['dormouse-attempt'])).toEqual(['1', '2', '3', '4']);
    expect(await round(worker)).toBe(0);
  });

  test('is given up after the last attempt of the schedule, which the log shows, and can be retried by hand', async () => {
    await using receiver = await Receiver.start(answer(503));
    const { id } = await hook({ url: receiver.url });
    await happen();
    const { worker, clock } = await byHand();
    const beganMs = clock.at.getTime();
    const waits: number[] = [];
    for (let attempt = 1; attempt < MAX_ATTEMPTS; attempt++) {
      expect(await round(worker)).toBe(1);
      const next = new Date((await log(id))[0]?.next_attempt_at ?? 0);
      waits.push(next.getTime() - clock.at.getTime());
      clock.at = new Date(next.getTime() - 1);
      expect(await round(worker)).toBe(0);
      clock.at = next;
    }
    expect(waits).toEqual([5_000, 30_000, 120_000, 600_000, 1_800_000, 7_200_000, 21_600_000, 43_200_000]);
    expect(await round(worker)).toBe(1);
    const [delivery] = await log(id);
    expect(delivery).toMatchObject({
      state: 'failed',
      attempts: 9,
      next_attempt_at: null,
      last_attempt_at: new Date(beganMs + 74_555_000).toISOString(),
      last_status: 503,
      last_error: 'answered 503',
    });
    expect(delivery?.durations_ms).toHaveLength(9);
    clock.at = new Date(clock.at.getTime() + 7 * 86_400_000);
    expect(await round(worker)).toBe(0);
    expect(receiver.received).toHaveLength(9);
    expect((await api.ask<{ failures: number }>('GET', `/v1/webhooks/${id}`)).body.failures).toBe(9);
    const path = `/v1/webhooks/${id}/deliveries/${delivery?.id}/retry`;
    expect((await api.post<WebhookDelivery>(path)).body).toMatchObject({ state: 'pending', attempts: 9 });
    expect(await round(worker)).toBe(1);
    expect((await log(id))[0]).toMatchObject({ state: 'pending', attempts: 10 });
    for (let more = 0; more < 12; more++) {
      await api.post(path);
      expect(await round(worker)).toBe(1);
    }
    const [longLived] = await log(id);
    expect([longLived?.attempts, longLived?.durations_ms.length]).toEqual([22, 20]);
    const text = await (await plane.request('/metrics')).text();
    expect(text).toMatch(/^dormouse_webhook_deliveries_total\{state="failed"\} [1-9]/m);
    expect(text).toMatch(/^dormouse_webhook_deliveries_total\{state="delivered"\} [1-9]/m);
    expect(text).toMatch(/^dormouse_webhook_deliveries_pending [1-9]/m);
  });

  test('hazard 8: is sent again when that was asked for while its last attempt was failing', async () => {
    await using receiver = await Receiver.start(take);
    const { id } = await hook({ url: receiver.url });
    const { worker, clock } = await byHand();
    await happen();
    clock.at = await plane.services.store.system.now();
    const { webhooks } = plane.services.store.system;
    const [claimed] = await webhooks.claim({
      at: clock.at,
      leaseMs: 60_000,
      limit: 1,
      except: [],
      failing: false,
    });
    const path = `/v1/webhooks/${id}/deliveries/${claimed!.id}/retry`;
    await api.post(path);
    const result = { status: 503, error: 'answered 503', durationMs: 1 };
    await webhooks.finish(claimed!, { at: clock.at, result, nextAttemptAt: null });
    expect((await log(id))[0]).toMatchObject({ state: 'pending', last_error: 'answered 503' });
    clock.at = await plane.services.store.system.now();
    expect(await round(worker)).toBe(1);
    expect((await log(id))[0]).toMatchObject({ state: 'delivered', attempts: 2 });
  });

  test('follows no redirect, and reads no endless answer', async () => {
    await using elsewhere = await Receiver.start(take);
    await using receiver = await Receiver.start(answer(307, { location: elsewhere.url }), (response) => {
      response.writeHead(200);
      const more = (): void => {
        while (!response.destroyed && response.write('x'.repeat(16_384)));
        if (!response.destroyed) response.once('drain', more);
      };
      more();
    });
    const { id } = await hook({ url: receiver.url });
    const ping = async () => (await api.post<WebhookDelivery>(`/v1/webhooks/${id}/test`)).body;
    expect(await ping()).toMatchObject({
      state: 'failed',
      last_status: 307,
      last_error: 'answered 307; redirects are not followed',
    });
    const { durations_ms, ...endless } = await ping();
    expect(endless).toMatchObject({ state: 'delivered', last_status: 200 });
    expect(durations_ms[0]).toBeLessThan(2_500);
    expect(elsewhere.received).toEqual([]);
  });

  test('hazard 24: goes to the address that was looked up and checked, without a second look', async () => {
    await using receiver = await Receiver.start(take);
    const { id } = await hook({ url: `http://receiver.example.org:${receiver.port}/` });
    expect((await api.post<WebhookDelivery>(`/v1/webhooks/${id}/test`)).body.state).toBe('delivered');
    expect(receiver.received[0]?.headers.host).toBe(`receiver.example.org:${receiver.port}`);
    expect(lookups).toEqual(['receiver.example.org']);
    // The same receiver, where private addresses are not allowed.
    const strict = new WebhookSender({ allowPrivate: false, resolve });
    const services = { ...plane.services, webhooks: strict };
    await happen();
    const worker = new WebhookWorker(services);
    expect(await round(worker)).toBe(1);
    expect((await log(id))[0]).toMatchObject({
      last_error: 'the address of the receiver is not a public one',
    });
    expect(receiver.received).toHaveLength(1);
  });
});

describe('events', () => {
  test('come exactly once, with two control planes at work', async () => {
    await using receiver = await Receiver.start(take);
    const { id } = await hook({ url: receiver.url });
    const other = await Store.open({ databaseUrl: plane.databaseUrl });
    try {
      work();
      work({ ...plane.services, store: other });
      const writes = Array.from({ length: 60 }, (_, index) =>
        happen(index % 2 === 0 ? other : plane.services.store, { index }),
      );
      await Promise.all(writes);
      await receiver.count(60);
      for (const { stop } of running) stop.abort();
      await Promise.all(running.splice(0).map(({ done }) => done));
      const indexes = receiver.received.map(({ body }) => JSON.parse(body).data.index as number);
      expect(indexes.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 60 }, (_, index) => index));
      const states = (await log(id)).map(({ state, attempts }) => `${state} ${attempts}`);
      expect(states).toEqual(Array.from({ length: 60 }, () => 'delivered 1'));
    } finally {
      for (const { stop } of running) stop.abort();
      await Promise.all(running.splice(0).map(({ done }) => done));
      await other.close();
    }
  });

  test('that a control plane took on and died with are another one’s when its lease has ended', async () => {
    await using receiver = await Receiver.start(take);
    const { id } = await hook({ url: receiver.url });
    await happen();
    const other = await Store.open({ databaseUrl: plane.databaseUrl });
    const { worker, clock } = await byHand();
    const claim = { at: clock.at, leaseMs: 60_000, limit: 10, except: [], failing: false };
    const [taken] = await other.system.webhooks.claim(claim);
    expect(taken).toMatchObject({ attempt: 1, attemptsLeft: 8 });
    clock.at = new Date(clock.at.getTime() + 59_999);
    expect(await round(worker)).toBe(0);
    clock.at = new Date(clock.at.getTime() + 1);
    expect(await round(worker)).toBe(1);
    // It was only slow, and says so too late.
    const result = { status: null, error: 'late', durationMs: 1 };
    await other.system.webhooks.finish(taken!, { at: clock.at, result, nextAttemptAt: null });
    await other.close();
    expect(await log(id)).toMatchObject([{ state: 'delivered', attempts: 2, last_error: null }]);
  });

  test('reach those who take them while another receiver is dead', async () => {
    await using dead = await Receiver.start(nothing);
    await using receiver = await Receiver.start(take);
    await hook({ url: dead.url });
    await hook({ url: receiver.url });
    work();
    const startedMs = performance.now();
    for (let index = 0; index < 40; index++) await happen(undefined, { index });
    await receiver.count(40);
    // No attempt at the dead one has ended by then: only those that may be under way have begun.
    expect(performance.now() - startedMs).toBeLessThan(2_900);
    expect(dead.received.length).toBeLessThanOrEqual(4);
  });

  test('of other teams and other types are not told', async () => {
    await using receiver = await Receiver.start(take);
    const { id } = await hook({ url: receiver.url, events: ['sandbox.paused'] });
    const { store } = plane.services;
    await happen();
    await store.forTeam((await plane.newTeam()).teamId).events.add({ type: 'sandbox.paused' });
    await store.forTeam(teamId).events.add({ type: 'sandbox.paused', reason: 'ours' });
    await round(new WebhookWorker(plane.services));
    expect(receiver.received.map(({ body }) => JSON.parse(body).reason)).toEqual(['ours']);
    // A delivery of one webhook is unknown to another, of whichever team.
    const [delivery] = await log(id);
    const stranger = new ApiClient(plane, (await plane.newTeam()).key);
    for (const asking of [api, stranger]) {
      const webhook = await asking.post<WebhookWithSecret>('/v1/webhooks', { url: receiver.url });
      const path = `/v1/webhooks/${webhook.body.id}/deliveries`;
      expect((await asking.refusal('POST', `${path}/${delivery?.id}/retry`)).code).toBe('not_found');
      expect((await asking.ask<WebhookDeliveryList>('GET', path)).body.deliveries).toEqual([]);
    }
  });

  test('do not reach webhooks that are disabled or deleted, also not those that were pending', async () => {
    await using receiver = await Receiver.start(answer(500));
    const webhooks = [await hook({ url: receiver.url }), await hook({ url: receiver.url })];
    const [disabled, deleted] = webhooks as [WebhookWithSecret, WebhookWithSecret];
    await happen();
    const { worker, clock } = await byHand();
    expect(await round(worker)).toBe(2);
    await api.ask('PATCH', `/v1/webhooks/${disabled.id}`, { enabled: false });
    await api.ask('DELETE', `/v1/webhooks/${deleted.id}`);
    await happen();
    clock.at = new Date(clock.at.getTime() + 7 * 86_400_000);
    expect(await round(worker)).toBe(0);
    const [delivery, ...others] = await log(disabled.id);
    expect(others).toEqual([]);
    expect(delivery).toMatchObject({ state: 'failed', attempts: 1, last_error: 'the webhook was disabled' });
    const retry = `/v1/webhooks/${disabled.id}/deliveries/${delivery?.id}/retry`;
    expect(await api.refusal('POST', retry)).toMatchObject({ status: 409, code: 'invalid_state' });
    await api.ask('PATCH', `/v1/webhooks/${disabled.id}`, { enabled: true });
    expect(await round(worker)).toBe(0);
    expect(receiver.received).toHaveLength(2);
    await happen();
    expect(await round((await byHand()).worker)).toBe(1);
  });

  test('are written and webhooks deleted at once, and neither fails', async () => {
    await using receiver = await Receiver.start(take);
    for (let turn = 0; turn < 10; turn++) {
      const { id } = await hook({ url: receiver.url });
      const [deleted] = await Promise.all([
        api.ask('DELETE', `/v1/webhooks/${id}`),
        ...Array.from({ length: 5 }, () => happen()),
      ]);
      expect(deleted.status).toBe(204);
    }
  });
});

test('a ping is sent at once and answered, signed with the secret of the moment, and not repeated', async () => {
  await using receiver = await Receiver.start(take);
  const { webhooks } = new Client({ apiUrl: plane.url, apiKey: key });
  const { id, secret } = await webhooks.create(receiver.url, { enabled: false });
  const delivery = await webhooks.test(id);
  expect(delivery).toMatchObject({
    eventId: null,
    eventType: 'webhook.ping',
    state: 'delivered',
    attempts: 1,
  });
  const replaced = (await webhooks.replaceSecret(id)).secret;
  await webhooks.test(id);
  const [first, second] = receiver.received as [Received, Received];
  const verify = (one: string, { headers, body }: Received) => verifyWebhook(one, headers, body);
  for (const [genuine, other, request] of [
    [secret, replaced, first],
    [replaced, secret, second],
  ] as const) {
    expect(verify(genuine, request)).toMatchObject({
      event: { id: expect.stringMatching(/^ping_[a-z0-9]{20}$/), type: 'webhook.ping' },
      attempt: 1,
    });
    expect(() => verify(other, request)).toThrow('the signature is not of this secret and body');
  }
  await expect(webhooks.retry(id, delivery.id)).rejects.toMatchObject({ code: 'invalid_state' });
});

test('events are verified with the SDK, in every attempt, and again after a retry by hand', async () => {
  await using receiver = await Receiver.start(hangUp, take);
  const { webhooks } = new Client({ apiUrl: plane.url, apiKey: key });
  const { id, secret } = await webhooks.create(receiver.url, { events: ['sandbox.forked'] });
  const { worker, clock } = await byHand();
  await happen(undefined, { text: 'ü 🐭 \u2028' });
  clock.at = new Date(clock.at.getTime() + 600_000);
  expect(await round(worker)).toBe(1);
  clock.at = new Date(clock.at.getTime() + 5_000);
  expect(await round(worker)).toBe(1);
  const deliveries = [];
  for await (const delivery of webhooks.deliveries(id)) deliveries.push(delivery);
  expect(deliveries).toMatchObject([{ state: 'delivered', attempts: 2 }]);
  await webhooks.retry(id, deliveries[0]!.id);
  expect(await round(worker)).toBe(1);
  const messages = receiver.received.map(({ headers, body }) => verifyWebhook(secret, headers, body));
  expect(messages.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
  expect(new Set(messages.map(({ event }) => event.id))).toEqual(new Set([deliveries[0]!.eventId]));
  expect(messages[0]?.event).toMatchObject({ type: 'sandbox.forked', data: { text: 'ü 🐭 \u2028' } });
});

test('a worker goes on when the database does not answer for a while', async () => {
  await using receiver = await Receiver.start(take);
  await hook({ url: receiver.url });
  const { webhooks } = plane.services.store.system;
  const original = webhooks.claim.bind(webhooks);
  let asked = 0;
  webhooks.claim = (claim) => {
    asked += 1;
    return asked === 1 ? Promise.reject(new DormouseError('unavailable', 'gone')) : original(claim);
  };
  work();
  await happen();
  await receiver.count(1);
  webhooks.claim = original;
  expect(asked).toBeGreaterThan(1);
});
