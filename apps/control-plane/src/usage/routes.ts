import { Usage } from '@dormouse/contracts';
import { createRoute } from '@hono/zod-openapi';
import { type App, createPart } from '../http/app.js';
import { errors, json } from '../http/route-parts.js';

const get = createRoute({
  method: 'get',
  path: '/v1/usage',
  operationId: 'getUsage',
  tags: ['Usage'],
  summary: 'What the team has, and what it may have',
  description:
    'A request that would exceed a limit is refused with `quota_exceeded`. Sandboxes that are paused because nobody uses them are paused in any case.',
  responses: { 200: json(Usage, 'Now'), ...errors() },
});

/** Quotas and what is used of them. */
export function usageRoutes(): App {
  const part = createPart();
  part.openapi(get, async (c) => {
    const { used, limits } = await c.get('team').usage();
    return c.json(
      {
        running: { used: used.running, limit: limits.running },
        paused: { used: used.paused, limit: limits.paused },
        snapshot_bytes: { used: used.snapshotBytes, limit: limits.snapshotBytes },
      },
      200,
    );
  });
  return part;
}
