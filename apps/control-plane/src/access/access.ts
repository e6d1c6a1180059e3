import { generateTokenSecret, SessionTokens } from '@dormouse/auth';
import type { Store } from '@dormouse/store';
import type { AccessLimits } from './limits.js';
import { Passwords } from './passwords.js';

/** What tells who is asking. */
export interface Access {
  readonly tokens: SessionTokens;
  readonly passwords: Passwords;
  /** Whether anybody may make an account. */
  readonly signUpOpen: boolean;
  readonly limits: AccessLimits;
  /** How many proxies add to X-Forwarded-For. */
  readonly trustedProxies: number;
}

/** What is configured of it. */
export type AccessOptions = Pick<Access, 'signUpOpen' | 'limits' | 'trustedProxies'>;

/** Name of the secret that signs tokens, in the database. */
const TOKEN_SECRET = 'session-tokens';

/**
 * Gets ready to tell who is asking. The secret that signs tokens is in the database, made by whichever control plane
 * starts first: all of them accept each other's tokens, and nothing has to be distributed. Who reads the database
 * could become anybody with it, and whoever writes to it anyway.
 */
export async function openAccess(
  store: Store,
  { signUpOpen, limits, trustedProxies }: AccessOptions,
): Promise<Access> {
  const secret = await store.system.accounts.secret(TOKEN_SECRET, generateTokenSecret());
  const tokens = new SessionTokens(secret);
  return { tokens, passwords: new Passwords(), signUpOpen, limits, trustedProxies };
}
