import { needsRehash } from '@dormouse/auth';
import type { LogInRequest } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import { byAddress, byEmail, takeTry } from '../access/limits.js';
import type { Services } from '../context.js';
import { MAX_TEAMS_OWNED } from '../teams/bounds.js';
import { type Member, ownTeamName } from './sign-up.js';

/**
 * Who has this e-mail and password, and the team they begin with. One answer, after the same work, for an unknown
 * e-mail and a wrong password.
 *
 * @throws DormouseError `unauthorized` or `too_many_requests`
 */
export async function logIn(
  { store, access, log }: Services,
  { email, password }: LogInRequest,
  address: string | null,
): Promise<Member> {
  const { accounts, rateLimits } = store.system;
  const tries = byEmail('logInsOfEmail', email);
  await takeTry(rateLimits, byAddress('logIns', address), access.limits.logIns);
  await takeTry(rateLimits, tries, access.limits.logInsOfEmail);

  const found = await accounts.userByEmail(email);
  const fits = await access.passwords.fits(found?.password_hash, password);
  if (!fits || typeof found?.password_hash !== 'string') {
    throw new DormouseError('unauthorized', 'e-mail or password is wrong');
  }
  // Only failures count against an e-mail.
  await rateLimits.forget(tries);
  const { password_hash: hash, ...user } = found;
  if (needsRehash(hash)) {
    await accounts.replacePasswordHash(user.id, hash, await access.passwords.hash(password));
    log.info({ userId: user.id }, 'password hashed again at the present cost');
  }
  const team =
    (await accounts.firstTeam(user.id)) ??
    (await accounts.createTeam(user.id, ownTeamName(user), MAX_TEAMS_OWNED));
  return { user, team };
}
