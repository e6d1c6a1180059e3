import { equalHashes, looksLikeToken, parseApiKey, roleOfKey } from '@dormouse/auth';
import { DormouseError } from '@dormouse/errors';
import type { MiddlewareHandler } from 'hono';
import { byAddress, takeTry } from '../access/limits.js';
import type { AppEnv, Caller, Services } from '../context.js';
import type { RouteTable } from './route-table.js';

/** The credential in a request's headers: `X-API-Key`, or `Authorization: Bearer`. */
export function presentedKey(
  apiKey: string | undefined,
  authorization: string | undefined,
): string | undefined {
  if (apiKey !== undefined) return apiKey.trim();
  return /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
}

/**
 * Who holds an API key or the token of a login. The same refusal for a key that cannot be one and for one that nobody
 * knows.
 *
 * @param address where it came from; invalid ones are counted by it
 * @throws DormouseError `unauthorized` or `too_many_requests`
 */
export async function authenticate(
  services: Pick<Services, 'store' | 'access'>,
  presented: string | undefined,
  address: string | null,
): Promise<Caller> {
  if (presented === undefined) {
    throw new DormouseError('unauthorized', 'send an API key in the header X-API-Key', {
      suggestion: 'Or the token of a login as Authorization: Bearer.',
    });
  }
  const isToken = looksLikeToken(presented);
  const caller = await (isToken ? callerOfToken(services, presented) : callerOfKey(services, presented));
  if (caller !== undefined) return caller;
  const { store, access } = services;
  await takeTry(store.system.rateLimits, byAddress('keyFailures', address), access.limits.keyFailures);
  if (!isToken) throw new DormouseError('unauthorized', 'this API key is not valid');
  throw new DormouseError('unauthorized', 'this login is over', { suggestion: 'Log in again.' });
}

/** Asks the database each time: whoever is out of the team is out at once, not when the token ends. */
async function callerOfToken(
  { store, access }: Pick<Services, 'store' | 'access'>,
  token: string,
): Promise<Caller | undefined> {
  const session = await access.tokens.read(token);
  if (session === undefined) return undefined;
  const membership = await store.system.accounts.membership(session.userId, session.teamId);
  if (membership === undefined) return undefined;
  const { user, team } = membership;
  return {
    teamId: team.id,
    role: team.role,
    userId: user.id,
    keyId: null,
    keyUseIsDue: false,
    label: user.email,
  };
}

async function callerOfKey({ store }: Pick<Services, 'store'>, key: string): Promise<Caller | undefined> {
  const digest = parseApiKey(key);
  if (digest === undefined) return undefined;
  let caller: Caller | undefined;
  for (const candidate of await store.system.accounts.keysByLookup(digest.lookup)) {
    const { id, team_id: teamId, user_id: userId, maker_role: makerRole, name, use_is_due } = candidate;
    if (!equalHashes(candidate.hash, digest.hash) || userId === null || makerRole === null) continue;
    caller = { teamId, role: roleOfKey(makerRole), userId, keyId: id, keyUseIsDue: use_is_due, label: name };
  }
  return caller;
}

/** Lets only requests pass that say validly who asks, and binds them to that caller's team; public routes to none. */
export function authentication(services: Services, routes: RouteTable): MiddlewareHandler<AppEnv> {
  const { store, log } = services;
  return async (c, next) => {
    if (routes.isPublic(c.req.method, c.req.path)) return next();
    const key = presentedKey(c.req.header('x-api-key'), c.req.header('authorization'));
    const caller = await authenticate(services, key, c.get('address'));
    c.set('caller', caller);
    c.set('team', store.forTeam(caller.teamId));
    if (caller.keyId !== null && caller.keyUseIsDue) {
      // Nobody waits for it, and a request is not worse for it failing.
      store.system
        .touchApiKey(caller.keyId)
        .catch((err: unknown) => log.warn({ err }, 'key use not recorded'));
    }
    return next();
  };
}
