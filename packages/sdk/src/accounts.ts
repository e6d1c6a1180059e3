import { Me as WireMe, Session as WireSession, type User as WireUser } from '@dormouse/contracts';
import { type CamelKeys, toCamelKeys } from './case.js';
import type { CallOptions } from './client-options.js';
import type { Team } from './teams.js';
import type { Transport } from './transport.js';

/** A person. */
export type User = CamelKeys<WireUser>;

/** Somebody who has signed up. */
export interface Account {
  readonly email: string;
  readonly password: string;
}

/** Somebody who signs up. */
export interface NewAccount extends Account {
  /** What to call them. */
  readonly name?: string | undefined;
}

/** A login in one team. */
export interface Session {
  /** For `new Client({ token })`. */
  readonly token: string;
  readonly expiresAt: string;
  readonly user: User;
  readonly team: Team;
}

/** Who asks, and for which team: a person or a key. */
export interface Me {
  readonly user: User | null;
  readonly apiKey: { readonly id: string; readonly name: string } | null;
  readonly team: Team;
}

export function signUp(transport: Transport, account: NewAccount, options: CallOptions): Promise<Session> {
  return beginSession(transport, '/v1/auth/signup', account, options);
}

export function logIn(transport: Transport, account: Account, options: CallOptions): Promise<Session> {
  return beginSession(transport, '/v1/auth/login', account, options);
}

export function switchTeam(transport: Transport, teamId: string, options: CallOptions): Promise<Session> {
  return beginSession(transport, '/v1/auth/switch-team', { team_id: teamId }, options);
}

export async function fetchMe(transport: Transport, options: CallOptions): Promise<Me> {
  const me = await transport.json({ ...options, method: 'GET', path: '/v1/me' }, WireMe);
  const user = me.user === null ? null : toCamelKeys(me.user);
  return { user, apiKey: me.api_key, team: toCamelKeys(me.team) };
}

async function beginSession(
  transport: Transport,
  path: string,
  json: object,
  options: CallOptions,
): Promise<Session> {
  const session = await transport.json({ ...options, method: 'POST', path, json }, WireSession);
  const { token, expires_at: expiresAt } = session;
  return { token, expiresAt, user: toCamelKeys(session.user), team: toCamelKeys(session.team) };
}
