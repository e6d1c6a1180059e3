import {
  DEFAULT_PAGE_SIZE,
  PageQuery,
  PING_TYPE,
  WebhookDelivery,
  WebhookDeliveryList,
} from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import type { Services } from '../context.js';
import { type App, createPart } from '../http/app.js';
import { allow } from '../http/permission.js';
import { errors, json } from '../http/route-parts.js';
import { audited } from '../http/route-table.js';
import { newPingId } from '../random-id.js';
import { findWebhook, noSuchWebhook } from './find.js';
import { presentDelivery } from './present.js';
import { WebhookParams } from './routes.js';
import { MAX_ATTEMPTS } from './schedule.js';

/** Pings under way: each keeps a request and a connection for up to 10 s. */
const MAX_PINGS = 16;

const list = createRoute({
  method: 'get',
  path: '/v1/webhooks/{id}/deliveries',
  operationId: 'listWebhookDeliveries',
  tags: ['Webhooks'],
  summary: 'What was sent to a webhook',
  description: 'Newest first, of the last 30 days. For owners and admins.',
  request: { params: WebhookParams, query: PageQuery },
  responses: { 200: json(WebhookDeliveryList, 'One page'), ...errors('forbidden', 'not_found') },
});

const test = createRoute({
  method: 'post',
  path: '/v1/webhooks/{id}/test',
  operationId: 'testWebhook',
  tags: ['Webhooks'],
  summary: 'Try a webhook',
  description: [
    'Sends an event of type `webhook.ping` now, once, also when the webhook is disabled, and answers how that went.',
    'For owners and admins.',
  ].join(' '),
  ...audited('webhook.test'),
  request: { params: WebhookParams },
  responses: { 200: json(WebhookDelivery, 'How it went'), ...errors('forbidden', 'not_found') },
});

const retry = createRoute({
  method: 'post',
  path: '/v1/webhooks/{id}/deliveries/{delivery_id}/retry',
  operationId: 'retryWebhookDelivery',
  tags: ['Webhooks'],
  summary: 'Deliver once more',
  description: [
    'At once, and then as often as a new event; also what was delivered already. Pings are not repeated, and nothing',
    'is while the webhook is disabled. For owners and admins.',
  ].join(' '),
  ...audited('webhook.retry'),
  request: {
    params: WebhookParams.extend({
      delivery_id: z.string().meta({ description: 'Id of the delivery', example: '1234' }),
    }),
  },
  responses: {
    200: json(WebhookDelivery, 'It is pending'),
    ...errors('forbidden', 'not_found', 'invalid_state'),
  },
});

/** What was sent to webhooks, and sending it again. */
export function deliveryRoutes({ webhooks, feed }: Services): App {
  const part = createPart();
  let pings = 0;

  part.openapi(list, async (c) => {
    allow(c.get('caller'), 'webhooks.manage');
    const { id } = await findWebhook(c.get('team'), c.req.valid('param').id);
    const { limit = DEFAULT_PAGE_SIZE, cursor } = c.req.valid('query');
    const page = await c.get('team').webhooks.deliveries(id, { limit, cursor });
    return c.json({ deliveries: page.items.map(presentDelivery), next_cursor: page.nextCursor }, 200);
  });

  part.openapi(test, async (c) => {
    const caller = c.get('caller');
    allow(caller, 'webhooks.manage');
    const { id } = c.req.valid('param');
    const webhook = await c.get('team').webhooks.findSigned(id);
    if (webhook === undefined) throw noSuchWebhook(id);
    if (pings >= MAX_PINGS) {
      throw new DormouseError('too_many_requests', 'too many webhooks are being tried right now');
    }
    pings += 1;
    try {
      const event = {
        id: newPingId(),
        type: PING_TYPE,
        sandbox_id: null,
        snapshot_id: null,
        actor: caller.keyId === null ? `user:${caller.userId}` : `key:${caller.keyId}`,
        reason: null,
        data: {},
        at: new Date().toISOString(),
      };
      const result = await webhooks.send({ webhook, event, attempt: 1, deliveryId: null });
      const record = await c.get('team').webhooks.recordPing(id, PING_TYPE, result);
      if (record === undefined) throw noSuchWebhook(id);
      return c.json(presentDelivery(record), 200);
    } finally {
      pings -= 1;
    }
  });

  part.openapi(retry, async (c) => {
    allow(c.get('caller'), 'webhooks.manage');
    const team = c.get('team');
    const { id, delivery_id: deliveryId } = c.req.valid('param');
    const webhook = await findWebhook(team, id);
    const delivery = await team.webhooks.delivery(id, deliveryId);
    if (delivery === undefined) throw noSuchDelivery(deliveryId);
    if (delivery.event_id === null) {
      throw new DormouseError('invalid_state', 'a ping is not repeated', {
        suggestion: 'Test the webhook again.',
      });
    }
    if (!webhook.enabled) {
      throw new DormouseError('invalid_state', 'the webhook is disabled', { suggestion: 'Enable it first.' });
    }
    const record = await team.webhooks.retry(id, deliveryId, MAX_ATTEMPTS);
    if (record === undefined) throw noSuchDelivery(deliveryId);
    feed.wake(team.teamId);
    return c.json(presentDelivery(record), 200);
  });

  return part;
}

function noSuchDelivery(id: string): DormouseError {
  return new DormouseError('not_found', `there is no delivery ${id.slice(0, 64)}`);
}
