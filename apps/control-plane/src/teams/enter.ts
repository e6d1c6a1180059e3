import type { Permission } from '@dormouse/auth';
import { DormouseError } from '@dormouse/errors';
import type { TeamScope } from '@dormouse/store';
import type { Context } from 'hono';
import type { AppEnv, Caller, Services } from '../context.js';
import { allow } from '../http/permission.js';

/** A team, and what the caller is in it. */
export interface Entered {
  readonly team: TeamScope;
  readonly caller: Caller;
}

/**
 * Makes a request one of the team its path names: the one its credentials are for, or another one of the person who
 * is logged in. A key has one team only.
 *
 * @throws DormouseError `not_found`, the same for teams that do not exist and for those the caller is not in; or
 *   `forbidden`
 */
export async function enterTeam(
  { store }: Services,
  c: Context<AppEnv>,
  id: string,
  permission: Permission,
): Promise<Entered> {
  const caller = await callerIn(store.system.accounts, c.get('caller'), id);
  if (caller === undefined) throw noSuchTeam(id);
  const team = store.forTeam(caller.teamId);
  c.set('caller', caller);
  c.set('team', team);
  allow(caller, permission);
  return { team, caller };
}

async function callerIn(
  accounts: Services['store']['system']['accounts'],
  caller: Caller,
  id: string,
): Promise<Caller | undefined> {
  if (id === caller.teamId) return caller;
  if (caller.keyId !== null) return undefined;
  const membership = await accounts.membership(caller.userId, id);
  if (membership === undefined) return undefined;
  return { ...caller, teamId: membership.team.id, role: membership.team.role };
}

/** The one answer for every team that somebody is not in. */
export function noSuchTeam(id: string): DormouseError {
  return new DormouseError('not_found', `there is no team ${id.slice(0, 64)}`);
}
