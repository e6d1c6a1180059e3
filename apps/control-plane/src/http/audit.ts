import { DormouseError } from '@dormouse/errors';
import type { Context, MiddlewareHandler } from 'hono';
import { routePath } from 'hono/route';
import { z } from 'zod';
import type { AppEnv } from '../context.js';
import { toClientError } from './errors.js';
import type { RouteTable } from './route-table.js';

/** No id and no name is longer. */
const MAX_TARGET_LENGTH = 128;

/** What an answer says was made. */
const Made = z.object({
  id: z.string().optional(),
  user_id: z.string().optional(),
  name: z.string().nullish(),
  results: z.array(z.object({ sandbox: z.object({ id: z.string() }).optional() })).optional(),
});

/** Statuses below 500 after which a request may have changed something: a time limit, a client that went away. */
const UNCLEAR: readonly number[] = [408, 499];

/**
 * Records every request that has changed something, before it is answered, and every one that failed and may have:
 * a deletion is begun in the database, say, and finished later. What it is called is an attribute of its
 * route; which thing it was is in its path or, for what it has made, in its answer. Bodies of requests are never
 * recorded: they hold secrets.
 */
export function auditLog(routes: RouteTable): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    await next();
    const action = routes.auditAction(c.req.method, routePath(c, -1));
    const caller = c.get('caller');
    if (action === undefined || caller === undefined || isRefusal(c)) return;
    const made = c.res.status === 201 || c.res.status === 202 ? await madeBy(c.res) : {};
    try {
      await c.get('team').audit.append({
        userId: caller.keyId === null ? caller.userId : null,
        apiKeyId: caller.keyId,
        actor: caller.label,
        action,
        target: made.id ?? made.user_id ?? lastParameter(c) ?? null,
        details: {
          ...(typeof made.name !== 'string' ? {} : { name: made.name }),
          ...(made.results === undefined
            ? {}
            : { made: made.results.flatMap(({ sandbox }) => sandbox?.id ?? []) }),
          ...c.get('auditDetails'),
          ...(c.error === undefined ? {} : { error: toClientError(c.error).code }),
        },
        address: c.get('address'),
        requestId: c.get('requestId'),
      });
    } catch (err) {
      // It has happened all the same, and an error would have it done again.
      c.get('log').error({ err, action }, 'not recorded in the audit log');
    }
  };
}

/** Whether a request was refused before anything was begun. */
function isRefusal({ res: { status }, error }: Context<AppEnv>): boolean {
  if (status < 400) return false;
  if (status < 500 && !UNCLEAR.includes(status)) return true;
  return error instanceof DormouseError && error.notBegun;
}

async function madeBy(response: Response): Promise<z.infer<typeof Made>> {
  if (!response.headers.get('content-type')?.startsWith('application/json')) return {};
  const parsed = Made.safeParse(await response.clone().json());
  return parsed.success ? parsed.data : {};
}

/** The most specific id in the path. */
function lastParameter(c: Context<AppEnv>): string | undefined {
  const name = routePath(c, -1)
    .match(/:([a-z_]+)/g)
    ?.at(-1)
    ?.slice(1);
  return name === undefined ? undefined : c.req.param(name)?.slice(0, MAX_TARGET_LENGTH);
}
