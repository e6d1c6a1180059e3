import { DormouseError } from '@dormouse/errors';
import type { Client, Member, Team } from '@dormouse/sdk';

/**
 * A team by id or name.
 *
 * @param named undefined: the one that the login or key is for
 * @throws DormouseError `not_found`, or `invalid_request` when several have that name
 */
export async function findTeam(client: Client, named: string | undefined): Promise<Team> {
  if (named === undefined) return (await client.me()).team;
  const withName: Team[] = [];
  for await (const team of client.teams.list()) {
    if (team.id === named) return team;
    if (team.name === named) withName.push(team);
  }
  const [team, another] = withName;
  if (team === undefined) {
    throw new DormouseError('not_found', `you are in no team ${named}`, {
      suggestion: '`dormouse team ls` lists them.',
    });
  }
  if (another !== undefined) {
    throw new DormouseError('invalid_request', `you are in ${withName.length} teams called ${named}`, {
      suggestion: 'Say which by its id: `dormouse team ls` shows it.',
    });
  }
  return team;
}

/**
 * A member of a team by e-mail, however its letters are written, or by id.
 *
 * @throws DormouseError `not_found`
 */
export async function findMember(client: Client, team: Team, named: string): Promise<Member> {
  for await (const member of client.teams.members(team.id)) {
    if (member.userId === named || member.email.toLowerCase() === named.toLowerCase()) return member;
  }
  throw new DormouseError('not_found', `${named} is not in the team ${team.name}`, {
    suggestion: '`dormouse team members` lists who is.',
  });
}
