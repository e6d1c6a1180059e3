import { equalHashes, parseApiKey } from '@dormouse/auth';
import { DormouseError } from '@dormouse/errors';
import type { SystemRepository } from '@dormouse/store';
import type { MiddlewareHandler } from 'hono';
import type { AppEnv, Caller, Services } from '../context.js';

/** The credential in a request's headers: `X-API-Key`, or `Authorization: Bearer`. */
export function presentedKey(
  apiKey: string | undefined,
  authorization: string | undefined,
): string | undefined {
  if (apiKey !== undefined) return apiKey.trim();
  return /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
}

/**
 * Who holds a key. The same refusal for a key that cannot be one and for one that nobody knows.
 *
 * @throws DormouseError `unauthorized`
 */
export async function authenticate(system: SystemRepository, presented: string | undefined): Promise<Caller> {
  if (presented === undefined) {
    throw new DormouseError('unauthorized', 'send an API key in the header X-API-Key');
  }
  const digest = parseApiKey(presented);
  const candidates = digest === undefined ? [] : await system.apiKeysByLookup(digest.lookup);
  let caller: Caller | undefined;
  for (const candidate of candidates) {
    if (digest !== undefined && equalHashes(candidate.hash, digest.hash)) {
      caller = { teamId: candidate.team_id, keyId: candidate.id };
    }
  }
  if (caller === undefined) throw new DormouseError('unauthorized', 'this API key is not valid');
  return caller;
}

/** Lets only requests with a valid key pass, and binds them to the key's team. */
export function authentication({ store, log }: Services): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    const key = presentedKey(c.req.header('x-api-key'), c.req.header('authorization'));
    const caller = await authenticate(store.system, key);
    c.set('caller', caller);
    c.set('team', store.forTeam(caller.teamId));
    // Nobody waits for it, and a request is not worse for it failing.
    store.system.touchApiKey(caller.keyId).catch((err: unknown) => log.warn({ err }, 'key use not recorded'));
    await next();
  };
}
