import { isAllowed, type Permission } from '@dormouse/auth';
import { DormouseError } from '@dormouse/errors';
import type { Caller } from '../context.js';

/**
 * Refuses what the caller's role does not include.
 *
 * @throws DormouseError `forbidden`
 */
export function allow(caller: Caller, permission: Permission): void {
  if (!isAllowed(caller.role, permission)) throw forbidden(caller);
}

/** What is said to somebody whose role does not include it. */
export function forbidden({ role, keyId }: Caller): DormouseError {
  const who = keyId === null ? `as ${role} of this team you` : `this API key acts as ${role} of its team and`;
  return new DormouseError('forbidden', `${who} may not do that`);
}

/**
 * Refuses API keys where a person is needed.
 *
 * @throws DormouseError `forbidden`
 */
export function needPerson({ keyId }: Caller): void {
  if (keyId === null) return;
  throw new DormouseError('forbidden', 'an API key cannot do that', {
    suggestion: 'Log in, and send the token as Authorization: Bearer.',
  });
}
