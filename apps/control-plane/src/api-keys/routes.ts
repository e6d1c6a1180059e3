import { displayPrefix, generateApiKey } from '@dormouse/auth';
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
import { errors, json, jsonRequest } from '../http/route-parts.js';

const create = createRoute({
  method: 'post',
  path: '/v1/api-keys',
  tags: ['API keys'],
  summary: 'Create an API key',
  description: 'The answer holds the key itself; nothing can show it again.',
  middleware: [jsonBody] as const,
  request: { body: jsonRequest(CreateApiKeyRequest) },
  responses: { 201: json(CreatedApiKey, 'It works from now on'), ...errors('payload_too_large') },
});

const list = createRoute({
  method: 'get',
  path: '/v1/api-keys',
  tags: ['API keys'],
  summary: 'List API keys',
  description: 'Newest first. Of the keys themselves only their beginning.',
  request: { query: PageQuery },
  responses: { 200: json(ApiKeyList, 'One page'), ...errors() },
});

const remove = createRoute({
  method: 'delete',
  path: '/v1/api-keys/{id}',
  tags: ['API keys'],
  summary: 'Delete an API key',
  request: { params: z.object({ id: z.string().meta({ example: '0198c0de-7a5e-7c3e-9a51-3f6d2b8e4c01' }) }) },
  responses: { 204: { description: 'It does not work any more' }, ...errors('not_found') },
});

/** The team's API keys. */
export function apiKeyRoutes(): App {
  const part = createPart();

  part.openapi(create, async (c) => {
    const { key, lookup, hash } = generateApiKey();
    const record = await c.get('team').apiKeys.insert({ name: c.req.valid('json').name, lookup, hash });
    return c.json({ ...presentApiKey(record), key }, 201);
  });

  part.openapi(list, async (c) => {
    const { limit = DEFAULT_PAGE_SIZE, cursor } = c.req.valid('query');
    const page = await c.get('team').apiKeys.list({ limit, cursor });
    return c.json({ api_keys: page.items.map(presentApiKey), next_cursor: page.nextCursor }, 200);
  });

  part.openapi(remove, async (c) => {
    const { id } = c.req.valid('param');
    if (!(await c.get('team').apiKeys.delete(id))) {
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
