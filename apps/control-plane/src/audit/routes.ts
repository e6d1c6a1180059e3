import { type AuditEntry, AuditList, DEFAULT_PAGE_SIZE, ListAuditQuery } from '@dormouse/contracts';
import type { AuditRecord } from '@dormouse/store';
import { createRoute } from '@hono/zod-openapi';
import { type App, createPart } from '../http/app.js';
import { allow } from '../http/permission.js';
import { errors, json } from '../http/route-parts.js';

const list = createRoute({
  method: 'get',
  path: '/v1/audit',
  operationId: 'listAuditEntries',
  tags: ['Audit'],
  summary: 'Who did what',
  description: [
    'Everything that has changed accounts, keys, members, sandboxes, snapshots, projects or templates of the team, newest first.',
    'A request that failed is there as well, with the code of its `error`, unless it was refused before anything began.',
    'What happens inside sandboxes (commands, files) is not recorded. For owners and admins.',
    'The name of what a route records is `x-audit-action` in this document.',
  ].join(' '),
  request: { query: ListAuditQuery },
  responses: { 200: json(AuditList, 'One page'), ...errors('forbidden') },
});

/** The team's audit log. */
export function auditRoutes(): App {
  const part = createPart();
  part.openapi(list, async (c) => {
    allow(c.get('caller'), 'audit.read');
    const { limit = DEFAULT_PAGE_SIZE, cursor, action, target } = c.req.valid('query');
    const page = await c.get('team').audit.list({ limit, cursor, action, target });
    return c.json({ entries: page.items.map(presentEntry), next_cursor: page.nextCursor }, 200);
  });
  return part;
}

function presentEntry(record: AuditRecord): AuditEntry {
  return {
    id: record.id,
    at: record.created_at.toISOString(),
    actor: record.actor,
    user_id: record.user_id,
    api_key_id: record.api_key_id,
    action: record.action,
    target: record.target,
    details: toMutable(record.details),
    address: record.address,
    request_id: record.request_id,
  };
}

function toMutable(details: AuditRecord['details']): AuditEntry['details'] {
  return Object.fromEntries(
    Object.entries(details).map(([key, value]) => [key, typeof value === 'object' ? [...value] : value]),
  );
}
