import { randomBytes } from 'node:crypto';
import { traceIdOf } from '@dormouse/telemetry';
import type { MiddlewareHandler } from 'hono';
import { routePath } from 'hono/route';
import type { AppEnv, Services } from '../context.js';
import { clientAddress } from './client-address.js';

/** What clients may choose as their request's id: nothing that could forge a log line. */
const REQUEST_ID_PATTERN = /^[a-zA-Z0-9_.-]{1,128}$/;

/** The client's own id where it is acceptable, otherwise a new one. */
export function requestId(offered: string | undefined): string {
  return offered !== undefined && REQUEST_ID_PATTERN.test(offered)
    ? offered
    : `req_${randomBytes(8).toString('hex')}`;
}

/**
 * Gives every request an id, measures it and logs it. Neither headers nor query are logged: keys and file names
 * are the business of the client alone.
 */
export function requestLog({ log, metrics, access }: Services): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    const started = performance.now();
    const id = requestId(c.req.header('x-request-id'));
    c.set('requestId', id);
    const traceId = traceIdOf();
    c.set('log', log.child({ requestId: id, ...(traceId === undefined ? {} : { traceId }) }));
    const peer = c.env.incoming?.socket.remoteAddress;
    c.set('address', clientAddress(peer, c.req.header('x-forwarded-for'), access.trustedProxies));
    c.header('X-Request-Id', id);
    await next();
    const durationMs = performance.now() - started;
    const route = routePath(c, -1);
    metrics.httpDuration.observe(
      { method: c.req.method, route, status: String(c.res.status) },
      durationMs / 1000,
    );
    const caller = c.get('caller');
    c.get('log')[isProbe(c.req.path) ? 'debug' : 'info'](
      {
        method: c.req.method,
        path: c.req.path,
        status: c.res.status,
        durationMs: Math.round(durationMs),
        ...(caller === undefined
          ? {}
          : {
              teamId: caller.teamId,
              ...(caller.keyId === null ? { userId: caller.userId } : { keyId: caller.keyId }),
            }),
      },
      'request',
    );
  };
}

/** Asked every few seconds by machines. */
export function isProbe(path: string): boolean {
  return path === '/healthz' || path === '/readyz' || path === '/metrics';
}
