import type { MiddlewareHandler } from 'hono';
import type { AppEnv, Caller, Services } from '../context.js';

/** Behind authentication: what a request does to its team is done by its caller, for the events. Public routes have none. */
export function attribution({ store }: Services): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    const caller = c.get('caller') as Caller | undefined;
    if (caller !== undefined) {
      const { teamId, keyId, userId } = caller;
      c.set('team', store.forTeam(teamId, keyId === null ? `user:${userId}` : `key:${keyId}`));
    }
    await next();
  };
}
