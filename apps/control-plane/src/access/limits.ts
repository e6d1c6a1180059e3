import { createHash } from 'node:crypto';
import { DormouseError } from '@dormouse/errors';
import type { RateLimit, RateLimits } from '@dormouse/store';
import { addressGroup } from '../http/client-address.js';

/** How often strangers may try. */
export interface AccessLimits {
  /** Sign-ups from one address. */
  readonly signUps: RateLimit;
  /** Logins from one address, successful or not. */
  readonly logIns: RateLimit;
  /** Failed logins for one e-mail address, from wherever. */
  readonly logInsOfEmail: RateLimit;
  /** Invalid API keys and tokens from one address. A valid one works all the same: it cannot be guessed. */
  readonly keyFailures: RateLimit;
}

/** Whose tries are counted together where nobody can tell an address. */
const NOWHERE = 'nowhere';

/** The name of an account of tries by address. */
export function byAddress(kind: keyof AccessLimits, address: string | null): string {
  return `${kind} ${address === null ? NOWHERE : addressGroup(address)}`;
}

/** The name of an account of tries by e-mail. A digest: the table of tries is no list of users. */
export function byEmail(kind: keyof AccessLimits, email: string): string {
  return `${kind} ${createHash('sha256').update(email.toLowerCase()).digest('hex')}`;
}

/**
 * Takes one try.
 *
 * @throws DormouseError `too_many_requests` with the time to wait
 */
export async function takeTry(limits: RateLimits, account: string, limit: RateLimit): Promise<void> {
  const { allowed, retryAfterSec } = await limits.take(account, limit);
  if (allowed) return;
  throw new DormouseError('too_many_requests', 'too many tries', {
    suggestion: `Try again in ${retryAfterSec} s.`,
    retryAfterSec,
    notBegun: true,
  });
}
