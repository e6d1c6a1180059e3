import { LogInRequest, Me, Session, SignUpRequest, SwitchTeamRequest } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import { createRoute } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { AppEnv, Services } from '../context.js';
import { type App, createPart } from '../http/app.js';
import { jsonBody } from '../http/json-body.js';
import { needPerson } from '../http/permission.js';
import { errors, json, jsonRequest } from '../http/route-parts.js';
import { audited } from '../http/route-table.js';
import { noSuchTeam } from '../teams/enter.js';
import { logIn } from './log-in.js';
import { beginSession, presentTeam, presentUser } from './present.js';
import { type Member, signUp } from './sign-up.js';

const signup = createRoute({
  method: 'post',
  path: '/v1/auth/signup',
  operationId: 'signUp',
  tags: ['Accounts'],
  summary: 'Sign up',
  description: [
    'Makes an account and a team of its own. The token works as `Authorization: Bearer` wherever an API key does.',
    'By default 10 sign-ups an hour from one address; `Retry-After` tells when the next one is possible. A server may be closed.',
  ].join(' '),
  security: [],
  ...audited('user.signup'),
  middleware: [jsonBody] as const,
  request: { body: jsonRequest(SignUpRequest) },
  responses: {
    201: json(Session, 'You are logged in'),
    ...errors('forbidden', 'email_taken', 'payload_too_large', 'unavailable'),
  },
});

const login = createRoute({
  method: 'post',
  path: '/v1/auth/login',
  operationId: 'logIn',
  tags: ['Accounts'],
  summary: 'Log in',
  description: [
    'A token for the team you have been in longest. Unknown e-mail and wrong password have the same answer.',
    'By default 30 logins in five minutes from one address, and 10 failed ones in a quarter of an hour for one e-mail.',
  ].join(' '),
  security: [],
  ...audited('user.login'),
  middleware: [jsonBody] as const,
  request: { body: jsonRequest(LogInRequest) },
  responses: { 200: json(Session, 'You are logged in'), ...errors('payload_too_large', 'unavailable') },
});

const me = createRoute({
  method: 'get',
  path: '/v1/me',
  operationId: 'getMe',
  tags: ['Accounts'],
  summary: 'Who is asking',
  description: 'The person or the key that asks, and the team it acts in.',
  responses: { 200: json(Me, 'Who, and for which team'), ...errors() },
});

const switchTeam = createRoute({
  method: 'post',
  path: '/v1/auth/switch-team',
  operationId: 'switchTeam',
  tags: ['Accounts'],
  summary: 'Switch to another of your teams',
  description:
    'Answers a token for that team. The one you have goes on working for the team it was made for.',
  ...audited('user.switch_team'),
  middleware: [jsonBody] as const,
  request: { body: jsonRequest(SwitchTeamRequest) },
  responses: {
    200: json(Session, 'A login in that team'),
    ...errors('forbidden', 'not_found', 'payload_too_large'),
  },
});

/** Signing up, logging in, and who one is. */
export function accountRoutes(services: Services): App {
  const part = createPart();
  const { access, store } = services;
  const { accounts } = store.system;

  /** From here on the request is theirs, for the audit log. */
  const enter = (c: Context<AppEnv>, { user, team }: Member) => {
    c.set('caller', {
      teamId: team.id,
      role: team.role,
      userId: user.id,
      keyId: null,
      keyUseIsDue: false,
      label: user.email,
    });
    c.set('team', store.forTeam(team.id));
  };

  part.openapi(signup, async (c) => {
    const member = await signUp(services, c.req.valid('json'), c.get('address'));
    enter(c, member);
    return c.json(await beginSession(access, member), 201);
  });

  part.openapi(login, async (c) => {
    const member = await logIn(services, c.req.valid('json'), c.get('address'));
    enter(c, member);
    return c.json(await beginSession(access, member), 200);
  });

  part.openapi(me, async (c) => {
    const { userId, keyId, label, role, teamId } = c.get('caller');
    const membership = await accounts.membership(userId, teamId);
    if (membership === undefined) throw new DormouseError('unauthorized', 'this team is not yours any more');
    return c.json(
      {
        user: keyId === null ? presentUser(membership.user) : null,
        api_key: keyId === null ? null : { id: keyId, name: label },
        team: presentTeam({ ...membership.team, role }),
      },
      200,
    );
  });

  part.openapi(switchTeam, async (c) => {
    const caller = c.get('caller');
    needPerson(caller);
    const { team_id: teamId } = c.req.valid('json');
    const member = await accounts.membership(caller.userId, teamId);
    if (member === undefined) throw noSuchTeam(teamId);
    enter(c, member);
    return c.json(await beginSession(access, member), 200);
  });

  return part;
}
