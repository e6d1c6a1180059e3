import { generateWebhookSecret } from '@dormouse/auth';
import {
  CreateWebhookRequest,
  DEFAULT_PAGE_SIZE,
  PageQuery,
  UpdateWebhookRequest,
  Webhook,
  WebhookList,
  WebhookWithSecret,
} from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import { EVENT_TYPES } from '@dormouse/store';
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import type { Services } from '../context.js';
import { type App, createPart } from '../http/app.js';
import { jsonBody } from '../http/json-body.js';
import { allow } from '../http/permission.js';
import { errors, json, jsonRequest } from '../http/route-parts.js';
import { audited } from '../http/route-table.js';
import { findWebhook, noSuchWebhook } from './find.js';
import { presentWebhook } from './present.js';
import { checkReceiver } from './receiver.js';

export const WebhookParams: z.ZodObject<{ id: z.ZodString }> = z.object({
  id: z.string().meta({ description: 'Id of the webhook', example: '0198c0de-7a5e-4c3e-9a51-3f6d2b8e4c01' }),
});

const create = createRoute({
  method: 'post',
  path: '/v1/webhooks',
  operationId: 'createWebhook',
  tags: ['Webhooks'],
  summary: 'Have events sent somewhere',
  description: [
    'Every event of the team from now on (or those of some types) is sent there as `POST`, as JSON like in',
    '`GET /v1/events`, at least once. Any answer of 2xx within 10 s takes it; redirects are not followed. Otherwise it is',
    'tried again after 5 s, 30 s, 2 min, 10 min, 30 min, 2 h, 6 h and 12 h, each a fifth more or less, and then given',
    'up. Events may come out of order: their `id` says which was first.',
    '`Dormouse-Signature: t=<unix seconds>,v1=<hex>` is HMAC-SHA256 of `<t>.<body>` with the whole secret as key;',
    '`Dormouse-Event-Id` is the same in all attempts, `Dormouse-Attempt` counts them. The answer holds the secret;',
    'nothing can show it again. For owners and admins.',
  ].join(' '),
  ...audited('webhook.create'),
  middleware: [jsonBody] as const,
  request: { body: jsonRequest(CreateWebhookRequest) },
  responses: {
    201: json(WebhookWithSecret, 'Events are sent from now on'),
    ...errors('forbidden', 'payload_too_large', 'quota_exceeded'),
  },
});

const list = createRoute({
  method: 'get',
  path: '/v1/webhooks',
  operationId: 'listWebhooks',
  tags: ['Webhooks'],
  summary: 'List webhooks',
  description: 'Newest first. For owners and admins.',
  request: { query: PageQuery },
  responses: { 200: json(WebhookList, 'One page'), ...errors('forbidden') },
});

const get = createRoute({
  method: 'get',
  path: '/v1/webhooks/{id}',
  operationId: 'getWebhook',
  tags: ['Webhooks'],
  summary: 'Look at a webhook',
  description: 'For owners and admins.',
  request: { params: WebhookParams },
  responses: { 200: json(Webhook, 'The webhook'), ...errors('forbidden', 'not_found') },
});

const update = createRoute({
  method: 'patch',
  path: '/v1/webhooks/{id}',
  operationId: 'updateWebhook',
  tags: ['Webhooks'],
  summary: 'Change a webhook',
  description:
    'What is left out stays as it is. Disabling gives up on what is pending. For owners and admins.',
  ...audited('webhook.update'),
  middleware: [jsonBody] as const,
  request: { params: WebhookParams, body: jsonRequest(UpdateWebhookRequest) },
  responses: {
    200: json(Webhook, 'As it is now'),
    ...errors('forbidden', 'not_found', 'payload_too_large'),
  },
});

const replaceSecret = createRoute({
  method: 'post',
  path: '/v1/webhooks/{id}/secret',
  operationId: 'replaceWebhookSecret',
  tags: ['Webhooks'],
  summary: 'Replace the secret of a webhook',
  description:
    'Every attempt from now on is signed with the new one, which is shown this once. For owners and admins.',
  ...audited('webhook.replace_secret'),
  request: { params: WebhookParams },
  responses: { 200: json(WebhookWithSecret, 'With the new secret'), ...errors('forbidden', 'not_found') },
});

const remove = createRoute({
  method: 'delete',
  path: '/v1/webhooks/{id}',
  operationId: 'deleteWebhook',
  tags: ['Webhooks'],
  summary: 'Delete a webhook',
  description: 'Nothing more is sent, and its deliveries are forgotten. For owners and admins.',
  ...audited('webhook.delete'),
  request: { params: WebhookParams },
  responses: { 204: { description: 'It is gone' }, ...errors('forbidden', 'not_found') },
});

/** Whom the team tells of its events. */
export function webhookRoutes({ webhooks }: Services): App {
  const part = createPart();

  part.openapi(create, async (c) => {
    const caller = c.get('caller');
    allow(caller, 'webhooks.manage');
    const { url, events, enabled } = c.req.valid('json');
    checkTypes(events);
    await checkReceiver(url, webhooks.rules);
    const secret = generateWebhookSecret();
    const record = await c.get('team').webhooks.insert({
      url: new URL(url).href,
      secret,
      eventTypes: events,
      enabled,
      createdBy: caller.userId,
    });
    return c.json({ ...presentWebhook(record), secret }, 201);
  });

  part.openapi(list, async (c) => {
    allow(c.get('caller'), 'webhooks.manage');
    const { limit = DEFAULT_PAGE_SIZE, cursor } = c.req.valid('query');
    const page = await c.get('team').webhooks.list({ limit, cursor });
    return c.json({ webhooks: page.items.map(presentWebhook), next_cursor: page.nextCursor }, 200);
  });

  part.openapi(get, async (c) => {
    allow(c.get('caller'), 'webhooks.manage');
    return c.json(presentWebhook(await findWebhook(c.get('team'), c.req.valid('param').id)), 200);
  });

  part.openapi(update, async (c) => {
    allow(c.get('caller'), 'webhooks.manage');
    const team = c.get('team');
    const { id } = await findWebhook(team, c.req.valid('param').id);
    const { url, events: eventTypes, enabled } = c.req.valid('json');
    checkTypes(eventTypes ?? []);
    if (url !== undefined) await checkReceiver(url, webhooks.rules);
    const href = url === undefined ? undefined : new URL(url).href;
    const record = await team.webhooks.update(id, { url: href, eventTypes, enabled });
    if (record === undefined) throw noSuchWebhook(id);
    return c.json(presentWebhook(record), 200);
  });

  part.openapi(replaceSecret, async (c) => {
    allow(c.get('caller'), 'webhooks.manage');
    const { id } = c.req.valid('param');
    const secret = generateWebhookSecret();
    const record = await c.get('team').webhooks.update(id, { secret });
    if (record === undefined) throw noSuchWebhook(id);
    return c.json({ ...presentWebhook(record), secret }, 200);
  });

  part.openapi(remove, async (c) => {
    allow(c.get('caller'), 'webhooks.manage');
    const { id } = c.req.valid('param');
    if (!(await c.get('team').webhooks.delete(id))) throw noSuchWebhook(id);
    return c.body(null, 204);
  });

  return part;
}

/** @throws DormouseError `invalid_request`: a type that does not exist would be waited for in vain */
function checkTypes(types: readonly string[]): void {
  const known: ReadonlySet<string> = new Set(EVENT_TYPES);
  const unknown = types.find((type) => !known.has(type));
  if (unknown === undefined) return;
  throw new DormouseError('invalid_request', `events: there is no type '${unknown}'`);
}
