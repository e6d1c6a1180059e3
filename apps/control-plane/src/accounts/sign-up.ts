import { passwordProblem } from '@dormouse/auth';
import type { SignUpRequest } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import type { TeamRecord, UserRecord } from '@dormouse/store';
import { byAddress, takeTry } from '../access/limits.js';
import type { Services } from '../context.js';

/** Longest name of a team, as the contract has it. */
const MAX_TEAM_NAME = 64;

/** Somebody and the team they are in. */
export interface Member {
  readonly user: UserRecord;
  readonly team: TeamRecord;
}

/**
 * Makes a user and the user's own team.
 *
 * @throws DormouseError `forbidden` where sign-ups are closed, `invalid_request`, `too_many_requests` or `email_taken`
 */
export async function signUp(
  { store, access }: Services,
  { email, password, name }: SignUpRequest,
  address: string | null,
): Promise<Member> {
  if (!access.signUpOpen) throw new DormouseError('forbidden', 'nobody can sign up at this server');
  const problem = passwordProblem(password);
  if (problem !== undefined) throw new DormouseError('invalid_request', `password: ${problem}`);
  await takeTry(store.system.rateLimits, byAddress('signUps', address), access.limits.signUps);
  return store.system.accounts.signUp({
    email,
    name: name ?? null,
    passwordHash: await access.passwords.hash(password),
    teamName: ownTeamName({ email, name: name ?? null }),
  });
}

/** What the team is called that everybody has from the beginning. */
export function ownTeamName({ email, name }: { email: string; name: string | null }): string {
  const ending = "'s team";
  const who = name ?? email.split('@')[0] ?? email;
  return `${[...who].slice(0, MAX_TEAM_NAME - ending.length).join('')}${ending}`;
}
