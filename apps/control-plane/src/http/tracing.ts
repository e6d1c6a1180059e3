import { SANDBOX_ID_PATTERN } from '@dormouse/contracts';
import { fromUnknown } from '@dormouse/errors';
import { beginSpan, remoteParent } from '@dormouse/telemetry';
import type { MiddlewareHandler } from 'hono';
import { routePath } from 'hono/route';
import type { AppEnv } from '../context.js';
import { isProbe } from './request-log.js';

const SERVER_ERROR = 500;

/**
 * Makes a span of every request, until its answer has left, as part of what the client says it is doing. It knows the
 * route and not the address, headers or body: names of files, keys and the like are the business of the client alone.
 */
export function tracing(): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    const { method } = c.req;
    if (isProbe(c.req.path)) return await next();
    const parent = remoteParent(c.req.raw.headers);
    const attributes = { 'http.request.method': method };
    const span = beginSpan(method, { kind: 'server', attributes, parent });
    await span.run(next);
    const route = routePath(c, -1);
    const { status } = c.res;
    span.rename(`${method} ${route}`);
    span.set({ 'http.route': route, 'http.response.status_code': status, ...sandboxOf(c.req.param('id')) });
    const code = c.error === undefined ? undefined : fromUnknown(c.error).code;
    // Below 500 it is the client's error, which is none of this span.
    if (code !== undefined && status < SERVER_ERROR) span.set({ 'error.type': code });
    const end = (): void => span.end(status < SERVER_ERROR ? undefined : (c.error ?? new Error('no reason')));
    const outgoing = c.env.outgoing;
    if (outgoing === undefined || outgoing.destroyed) end();
    else outgoing.once('close', end);
  };
}

function sandboxOf(id: string | undefined): Readonly<Record<string, string>> {
  return id !== undefined && SANDBOX_ID_PATTERN.test(id) ? { 'dormouse.sandbox.id': id } : {};
}
