import {
  CreateSandboxRequest,
  DEFAULT_PAGE_SIZE,
  ListSandboxesQuery,
  Sandbox,
  SandboxList,
} from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import { createRoute } from '@hono/zod-openapi';
import type { Services } from '../context.js';
import { type App, createPart } from '../http/app.js';
import { jsonBody } from '../http/json-body.js';
import { errors, json, jsonRequest, SandboxParams } from '../http/route-parts.js';
import { audited } from '../http/route-table.js';
import { createSandbox } from './create.js';
import { destroySandbox } from './destroy.js';
import { findSandbox } from './find.js';
import { withFreshActivity } from './fresh-activity.js';
import { presentSandbox } from './present.js';

const METADATA_PREFIX = 'metadata.';

const create = createRoute({
  method: 'post',
  path: '/v1/sandboxes',
  operationId: 'createSandbox',
  ...audited('sandbox.create'),
  tags: ['Sandboxes'],
  summary: 'Create a sandbox',
  description: [
    'Answers when the sandbox takes commands. An empty body makes one of the template `base`.',
    'With the name or id of a snapshot as `template` it begins where that was taken.',
  ].join(' '),
  middleware: [jsonBody] as const,
  request: { body: jsonRequest(CreateSandboxRequest) },
  responses: {
    201: json(Sandbox, 'It runs'),
    ...errors(
      'not_found',
      'invalid_state',
      'snapshot_incompatible',
      'payload_too_large',
      'quota_exceeded',
      'no_capacity',
      'boot_failed',
      'restore_failed',
      'unavailable',
    ),
  },
});

const list = createRoute({
  method: 'get',
  path: '/v1/sandboxes',
  operationId: 'listSandboxes',
  tags: ['Sandboxes'],
  summary: 'List sandboxes',
  description:
    'Newest first. Parameters of the form `metadata.<key>=<value>` keep only the sandboxes with this metadata.',
  request: { query: ListSandboxesQuery },
  responses: { 200: json(SandboxList, 'One page'), ...errors() },
});

const get = createRoute({
  method: 'get',
  path: '/v1/sandboxes/{id}',
  operationId: 'getSandbox',
  tags: ['Sandboxes'],
  summary: 'Get a sandbox',
  description:
    'What it is at this moment, as far as the database knows: what a host does by itself is recorded within seconds.',
  request: { params: SandboxParams },
  responses: { 200: json(Sandbox, 'The sandbox'), ...errors('not_found') },
});

const remove = createRoute({
  method: 'delete',
  path: '/v1/sandboxes/{id}',
  operationId: 'destroySandbox',
  ...audited('sandbox.delete'),
  tags: ['Sandboxes'],
  summary: 'Destroy a sandbox',
  description: 'Frees its processes, memory, disk, sockets and network. Nothing of it can be had back.',
  request: { params: SandboxParams },
  responses: { 204: { description: 'It is gone' }, ...errors('not_found', 'unavailable') },
});

/** Create, list, get, delete. */
export function sandboxRoutes(services: Services): App {
  const part = createPart();

  part.openapi(create, async (c) => {
    const record = await createSandbox(services, c.get('team'), c.req.valid('json'));
    c.header('Location', `/v1/sandboxes/${record.id}`);
    return c.json(presentSandbox(record), 201);
  });

  part.openapi(list, async (c) => {
    const { limit, cursor, state, ...others } = c.req.valid('query');
    const page = await c.get('team').sandboxes.list({
      limit: limit ?? DEFAULT_PAGE_SIZE,
      cursor,
      state,
      metadata: metadataFilter(others),
    });
    const records = await withFreshActivity(services, page.items);
    return c.json({ sandboxes: records.map(presentSandbox), next_cursor: page.nextCursor }, 200);
  });

  part.openapi(get, async (c) => {
    const found = await findSandbox(c.get('team'), c.req.valid('param').id);
    const [record = found] = await withFreshActivity(services, [found]);
    return c.json(presentSandbox(record), 200);
  });

  part.openapi(remove, async (c) => {
    await destroySandbox(services, c.get('team'), c.req.valid('param').id);
    return c.body(null, 204);
  });

  return part;
}

/** The `metadata.<key>` parameters of a query, without their prefix. */
function metadataFilter(parameters: Readonly<Record<string, string>>): Record<string, string> {
  const filter: Record<string, string> = {};
  for (const [name, value] of Object.entries(parameters)) {
    if (!name.startsWith(METADATA_PREFIX)) continue;
    const key = name.slice(METADATA_PREFIX.length);
    if (key === '') throw new DormouseError('invalid_request', 'metadata.: name the key, as in metadata.k=v');
    if (key.includes('\0') || value.includes('\0')) {
      throw new DormouseError('invalid_request', `${METADATA_PREFIX}${key}: must not contain a NUL byte`);
    }
    filter[key] = value;
  }
  return filter;
}
