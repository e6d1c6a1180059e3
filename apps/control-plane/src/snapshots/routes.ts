import {
  CreateSnapshotQuery,
  CreateSnapshotRequest,
  DEFAULT_PAGE_SIZE,
  ListSnapshotsQuery,
  Snapshot,
  SnapshotList,
} from '@dormouse/contracts';
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import type { Services } from '../context.js';
import { type App, createPart } from '../http/app.js';
import { jsonBody } from '../http/json-body.js';
import { errors, json, jsonRequest } from '../http/route-parts.js';
import { audited } from '../http/route-table.js';
import { createSnapshot } from './create.js';
import { findSnapshot } from './find.js';
import { listSnapshots } from './list.js';
import { presentSnapshot } from './present.js';
import { removeSnapshot } from './remove.js';

/** Names that cannot exist are unknown names: 404, not 400. */
const SnapshotParams = z.object({
  name: z.string().meta({ description: 'Name or id of the snapshot', example: 'with-dependencies' }),
});

const create = createRoute({
  method: 'post',
  path: '/v1/snapshots',
  operationId: 'createSnapshot',
  ...audited('snapshot.create'),
  tags: ['Snapshots'],
  summary: 'Keep a moment of a sandbox',
  description: [
    'Memory, processes and disk of a sandbox, running or paused, under a name that new sandboxes can begin with.',
    'The sandbox goes on as it was, unless `pause` is set.',
    'Names are unique in a team; with `overwrite` the name goes over when the new snapshot is ready, and the old one is deleted.',
  ].join(' '),
  middleware: [jsonBody] as const,
  request: { query: CreateSnapshotQuery, body: jsonRequest(CreateSnapshotRequest) },
  responses: {
    201: json(Snapshot, 'It is kept'),
    ...errors(
      'not_found',
      'already_exists',
      'invalid_state',
      'pause_failed',
      'guest_unreachable',
      'no_space',
      'unavailable',
    ),
  },
});

const list = createRoute({
  method: 'get',
  path: '/v1/snapshots',
  operationId: 'listSnapshots',
  tags: ['Snapshots'],
  summary: 'List snapshots',
  description: 'What sandboxes can be made of: snapshots, newest first, then templates (`type` is `base`).',
  request: { query: ListSnapshotsQuery },
  responses: { 200: json(SnapshotList, 'One page'), ...errors('unavailable') },
});

const get = createRoute({
  method: 'get',
  path: '/v1/snapshots/{name}',
  operationId: 'getSnapshot',
  tags: ['Snapshots'],
  summary: 'Get a snapshot',
  description:
    'By its name or its id. A name means the newest snapshot that was given it; an id always means the same.',
  request: { params: SnapshotParams },
  responses: { 200: json(Snapshot, 'The snapshot and what it descends from'), ...errors('not_found') },
});

const remove = createRoute({
  method: 'delete',
  path: '/v1/snapshots/{name}',
  operationId: 'deleteSnapshot',
  ...audited('snapshot.delete'),
  tags: ['Snapshots'],
  summary: 'Delete a snapshot',
  description: [
    'Its name is free at once. Sandboxes and snapshots that descend from it stay whole:',
    'what they need of it stays on the disk until they are gone as well.',
  ].join(' '),
  request: { params: SnapshotParams },
  responses: { 204: { description: 'It is gone' }, ...errors('not_found', 'invalid_state') },
});

/** Create, list, get, delete. */
export function snapshotRoutes(services: Services): App {
  const part = createPart();

  part.openapi(create, async (c) => {
    const team = c.get('team');
    const overwrite = c.req.valid('query').overwrite === 'true';
    const record = await createSnapshot(services, team, c.req.valid('json'), overwrite);
    const ancestors = await team.snapshots.ancestors([record.id]);
    c.header('Location', `/v1/snapshots/${record.name}`);
    return c.json(presentSnapshot(record, ancestors.get(record.id) ?? []), 201);
  });

  part.openapi(list, async (c) => {
    const { type, limit = DEFAULT_PAGE_SIZE, cursor } = c.req.valid('query');
    const page = await listSnapshots(services, c.get('team'), type, { limit, cursor });
    return c.json({ snapshots: [...page.items], next_cursor: page.nextCursor }, 200);
  });

  part.openapi(get, async (c) => {
    return c.json(await findSnapshot(services, c.get('team'), c.req.valid('param').name), 200);
  });

  part.openapi(remove, async (c) => {
    await removeSnapshot(services, c.get('team'), c.req.valid('param').name);
    return c.body(null, 204);
  });

  return part;
}
