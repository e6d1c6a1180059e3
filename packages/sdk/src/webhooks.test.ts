import { expect, test } from 'vitest';
import { Client } from './index.js';
import { json, noContent, ScriptedServer } from './testing/scripted-server.js';

const ID = '0198c0de-7a5e-4c3e-9a51-3f6d2b8e4c01';
const at = '2026-01-31T09:30:00.000Z';
const url = 'https://hooks.example.org/';
const secret = 'whsec_1';
const wireWebhook = {
  id: ID,
  url,
  events: ['sandbox.paused'],
  enabled: true,
  failures: 0,
  created_by: null,
  created_at: at,
};
const webhook = {
  id: ID,
  url,
  events: ['sandbox.paused'],
  enabled: true,
  failures: 0,
  createdBy: null,
  createdAt: at,
};
const wireDelivery = {
  id: '7',
  event_id: '4711',
  event_type: 'sandbox.paused',
  state: 'pending',
  attempts: 1,
  next_attempt_at: at,
  last_attempt_at: at,
  last_status: 500,
  last_error: 'answered 500',
  durations_ms: [12],
  created_at: at,
};
const delivery = {
  id: '7',
  eventId: '4711',
  eventType: 'sandbox.paused',
  state: 'pending',
  attempts: 1,
  nextAttemptAt: at,
  lastAttemptAt: at,
  lastStatus: 500,
  lastError: 'answered 500',
  durationsMs: [12],
  createdAt: at,
};

test('webhooks and their deliveries', async () => {
  await using server = await ScriptedServer.start([
    json(201, { ...wireWebhook, secret }),
    json(200, { webhooks: [wireWebhook], next_cursor: 'c2' }),
    json(200, { webhooks: [], next_cursor: null }),
    json(200, wireWebhook),
    json(200, wireWebhook),
    json(200, { ...wireWebhook, secret }),
    json(200, wireDelivery),
    json(200, { deliveries: [wireDelivery], next_cursor: '7' }),
    json(200, { deliveries: [], next_cursor: null }),
    json(200, wireDelivery),
    noContent,
  ]);
  const { webhooks } = new Client({ apiUrl: server.url, apiKey: 'dor_1' });
  expect(await webhooks.create(url, { events: ['sandbox.paused'] })).toEqual({ ...webhook, secret });
  const listed = [];
  for await (const one of webhooks.list()) listed.push(one);
  expect(listed).toEqual([webhook]);
  expect(await webhooks.get(ID)).toEqual(webhook);
  expect(await webhooks.update(ID, { enabled: false })).toEqual(webhook);
  expect(await webhooks.replaceSecret(ID)).toEqual({ ...webhook, secret });
  expect(await webhooks.test(ID)).toEqual(delivery);
  const sent = [];
  for await (const one of webhooks.deliveries(ID)) sent.push(one);
  expect(sent).toEqual([delivery]);
  expect(await webhooks.retry(ID, '7')).toEqual(delivery);
  await webhooks.remove(ID);
  expect(server.requests.map(({ method, url, body }) => [method, url, body])).toEqual([
    ['POST', '/v1/webhooks', JSON.stringify({ url, events: ['sandbox.paused'] })],
    ['GET', '/v1/webhooks', ''],
    ['GET', '/v1/webhooks?cursor=c2', ''],
    ['GET', `/v1/webhooks/${ID}`, ''],
    ['PATCH', `/v1/webhooks/${ID}`, '{"enabled":false}'],
    ['POST', `/v1/webhooks/${ID}/secret`, ''],
    ['POST', `/v1/webhooks/${ID}/test`, ''],
    ['GET', `/v1/webhooks/${ID}/deliveries`, ''],
    ['GET', `/v1/webhooks/${ID}/deliveries?cursor=7`, ''],
    ['POST', `/v1/webhooks/${ID}/deliveries/7/retry`, ''],
    ['DELETE', `/v1/webhooks/${ID}`, ''],
  ]);
});
