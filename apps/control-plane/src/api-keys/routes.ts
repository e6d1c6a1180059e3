import { displayPrefix, generateApiKey, isAllowed } from '@dormouse/auth';
import {
  type ApiKey,
  ApiKeyList,
  CreateApiKeyRequest,
  CreatedApiKey,
  DEFAULT_PAGE_SIZE,
  PageQuery,
} from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import type { ApiKeyRecord } from '@dormouse/store';
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { type App, createPart } from '../http/app.js';
import { jsonBody } from '../http/json-body.js';
import { allow } from '../http/permission.js';
import { errors, json, jsonRequest } from '../http/route-parts.js';
import { audited } from '../http/route-table.js';

const create = createRoute({
  method: 'post',
  path: '/v1/api-keys',
  operationId: 'createApiKey',
  tags: ['API keys'],
  summary: 'Create an API key',
  description: [
    'The answer holds the key itself; nothing can show it again. It acts for you in this team: it may what you may,',
    'but never what only owners may, and it is deleted when you leave. A key made with a key acts for the same person.',
  ].join(' '),
  ...audited('api_key.create'),
  middleware: [jsonBody] as const,
  request: { body: jsonRequest(CreateApiKeyRequest) },
  responses: { 201: json(CreatedApiKey, 'It works from now on'), ...errors('payload_too_large') },
});

const list = createRoute({
  method: 'get',
  path: '/v1/api-keys',
  operationId: 'listApiKeys',
  tags: ['API keys'],
  summary: 'List API keys',
  description: 'Newest first. Of the keys themselves only their beginning.',
  request: { query: PageQuery },
  responses: { 200: json(ApiKeyList, 'One page'), ...errors() },
});

const remove = createRoute({
  method: 'delete',
  path: '/v1/api-keys/{id}',
  operationId: 'deleteApiKey',
  tags: ['API keys'],
  summary: 'Delete an API key',
  description:
    'It stops working at once. Everybody may delete their own; owners and admins those of others as well.',
  ...audited('api_key.delete'),
  request: {
    params: z.object({
      id: z.string().meta({ description: 'Id of the key', example: '0198c0de-7a5e-7c3e-9a51-3f6d2b8e4c01' }),
    }),
  },
  responses: { 204: { description: 'It does not work any more' }, ...errors('not_found') },
});

/** The team's API keys. */
export function apiKeyRoutes(): App {
  const part = createPart();

  part.openapi(create, async (c) => {
    const caller = c.get('caller');
    allow(caller, 'api_keys.create');
    const { key, lookup, hash } = generateApiKey();
    const { name } = c.req.valid('json');
    const record = await c.get('team').apiKeys.insert({ userId: caller.userId, name, lookup, hash });
    return c.json({ ...presentApiKey(record), key }, 201);
  });

  part.openapi(list, async (c) => {
    allow(c.get('caller'), 'api_keys.read');
    const { limit = DEFAULT_PAGE_SIZE, cursor } = c.req.valid('query');
    const page = await c.get('team').apiKeys.list({ limit, cursor });
    return c.json({ api_keys: page.items.map(presentApiKey), next_cursor: page.nextCursor }, 200);
  });

  part.openapi(remove, async (c) => {
    const { id } = c.req.valid('param');
    const caller = c.get('caller');
    allow(caller, 'api_keys.delete_own');
    // Somebody else's key is as good as none for those who may not delete it.
    const makerId = isAllowed(caller.role, 'api_keys.delete_any') ? undefined : caller.userId;
    if (!(await c.get('team').apiKeys.delete(id, makerId))) {
      throw new DormouseError('not_found', `there is no API key ${id.slice(0, 64)}`);
    }
    return c.body(null, 204);
  });

  return part;
}

function presentApiKey(record: ApiKeyRecord): ApiKey {
  return {
    id: record.id,
    name: record.name,
    prefix: displayPrefix(record.lookup),
    created_at: record.created_at.toISOString(),
    last_used_at: record.last_used_at?.toISOString() ?? null,
  };
}
