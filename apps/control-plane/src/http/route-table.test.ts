import { createRoute } from '@hono/zod-openapi';
import { expect, test } from 'vitest';
import { createPart } from './app.js';
import { audited, notAudited, routeTable } from './route-table.js';

const answer = { 204: { description: 'Done' } };

test('knows what is public and what the audit log calls it', () => {
  const app = createPart();
  const table = routeTable(app);
  const nothing = () => new Response(null, { status: 204 });
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/door',
      security: [],
      ...audited('door.open'),
      responses: answer,
    }),
    nothing,
  );
  app.openapi(
    createRoute({ method: 'put', path: '/v1/a/{id}/b/{user_id}', ...audited('b.put'), responses: answer }),
    nothing,
  );
  app.openapi(
    createRoute({ method: 'post', path: '/v1/a/{id}/c', ...notAudited, responses: answer }),
    nothing,
  );
  app.openapi(createRoute({ method: 'get', path: '/v1/a', responses: answer }), nothing);
  table.check();
  expect([table.isPublic('POST', '/v1/door'), table.isPublic('GET', '/v1/door')]).toEqual([true, false]);
  expect(table.isPublic('GET', '/v1/a')).toBe(false);
  expect(table.auditAction('POST', '/v1/door')).toBe('door.open');
  expect(table.auditAction('PUT', '/v1/a/:id/b/:user_id')).toBe('b.put');
  expect(table.auditAction('POST', '/v1/a/:id/c')).toBeUndefined();
});

test('a route that may change something must say what the audit log calls it', () => {
  const app = createPart();
  const table = routeTable(app);
  app.openapi(
    createRoute({ method: 'delete', path: '/v1/a/{id}', responses: answer }),
    () => new Response(null, { status: 204 }),
  );
  expect(() => table.check()).toThrow(
    "DELETE /v1/a/:id must say what the audit log calls it: audited('…'), or notAudited",
  );
});
