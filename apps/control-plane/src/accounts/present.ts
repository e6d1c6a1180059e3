import type { Session, Team, User } from '@dormouse/contracts';
import type { TeamRecord, UserRecord } from '@dormouse/store';
import type { Access } from '../access/access.js';
import type { Member } from './sign-up.js';

export function presentUser({ id, email, name, created_at }: UserRecord): User {
  return { id, email, name, created_at: created_at.toISOString() };
}

export function presentTeam({ id, name, role, created_at }: TeamRecord): Team {
  return { id, name, role, created_at: created_at.toISOString() };
}

/** A login that begins now. */
export async function beginSession({ tokens }: Access, { user, team }: Member): Promise<Session> {
  const { token, expiresAt } = await tokens.issue({ userId: user.id, teamId: team.id });
  return {
    token,
    expires_at: expiresAt.toISOString(),
    user: presentUser(user),
    team: presentTeam(team),
  };
}
