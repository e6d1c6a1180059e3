import { DEFAULT_PAGE_SIZE, PageQuery, Team, TeamList, TeamRequest } from '@dormouse/contracts';
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import { presentTeam } from '../accounts/present.js';
import type { Caller, Services } from '../context.js';
import { type App, createPart } from '../http/app.js';
import { jsonBody } from '../http/json-body.js';
import { needPerson } from '../http/permission.js';
import { errors, json, jsonRequest } from '../http/route-parts.js';
import { audited } from '../http/route-table.js';
import { MAX_TEAMS_OWNED } from './bounds.js';
import { enterTeam, noSuchTeam } from './enter.js';

/** Path parameters of everything about one team. Ids that cannot exist are unknown ids. */
export const TeamParams: z.ZodObject<{ id: z.ZodString }> = z.object({
  id: z.string().meta({ description: 'Id of the team', example: '0198c0de-7a5e-7c3e-9a51-3f6d2b8e4c01' }),
});

const list = createRoute({
  method: 'get',
  path: '/v1/teams',
  operationId: 'listTeams',
  tags: ['Teams'],
  summary: 'List your teams',
  description: 'Newest first. An API key has one.',
  request: { query: PageQuery },
  responses: { 200: json(TeamList, 'One page'), ...errors() },
});

const create = createRoute({
  method: 'post',
  path: '/v1/teams',
  operationId: 'createTeam',
  tags: ['Teams'],
  summary: 'Create a team',
  description: `You are its owner. One may own ${MAX_TEAMS_OWNED}. Needs a login.`,
  ...audited('team.create'),
  middleware: [jsonBody] as const,
  request: { body: jsonRequest(TeamRequest) },
  responses: {
    201: json(Team, 'It is there'),
    ...errors('forbidden', 'quota_exceeded', 'payload_too_large'),
  },
});

const get = createRoute({
  method: 'get',
  path: '/v1/teams/{id}',
  operationId: 'getTeam',
  tags: ['Teams'],
  summary: 'Get a team',
  description: 'Only teams you are in exist for you.',
  request: { params: TeamParams },
  responses: { 200: json(Team, 'The team, and what you are in it'), ...errors('not_found') },
});

const rename = createRoute({
  method: 'patch',
  path: '/v1/teams/{id}',
  operationId: 'renameTeam',
  tags: ['Teams'],
  summary: 'Rename a team',
  description: 'For owners and admins.',
  ...audited('team.rename'),
  middleware: [jsonBody] as const,
  request: { params: TeamParams, body: jsonRequest(TeamRequest) },
  responses: {
    200: json(Team, 'It is called that now'),
    ...errors('forbidden', 'not_found', 'payload_too_large'),
  },
});

/** The teams somebody is in. */
export function teamRoutes(services: Services): App {
  const part = createPart();
  const { accounts } = services.store.system;

  /** A team as its caller sees it. */
  const seenBy = async ({ userId, teamId, role }: Caller) => {
    const membership = await accounts.membership(userId, teamId);
    if (membership === undefined) throw noSuchTeam(teamId);
    return presentTeam({ ...membership.team, role });
  };

  part.openapi(list, async (c) => {
    const caller = c.get('caller');
    if (caller.keyId !== null) return c.json({ teams: [await seenBy(caller)], next_cursor: null }, 200);
    const { limit = DEFAULT_PAGE_SIZE, cursor } = c.req.valid('query');
    const page = await accounts.teams(caller.userId, { limit, cursor });
    return c.json({ teams: page.items.map(presentTeam), next_cursor: page.nextCursor }, 200);
  });

  part.openapi(create, async (c) => {
    const caller = c.get('caller');
    needPerson(caller);
    const team = await accounts.createTeam(caller.userId, c.req.valid('json').name, MAX_TEAMS_OWNED);
    c.set('team', services.store.forTeam(team.id));
    c.header('Location', `/v1/teams/${team.id}`);
    return c.json(presentTeam(team), 201);
  });

  part.openapi(get, async (c) => {
    const { caller } = await enterTeam(services, c, c.req.valid('param').id, 'team.read');
    return c.json(await seenBy(caller), 200);
  });

  part.openapi(rename, async (c) => {
    const { team, caller } = await enterTeam(services, c, c.req.valid('param').id, 'team.rename');
    const { name } = c.req.valid('json');
    await team.rename(name);
    c.set('auditDetails', { name });
    return c.json(await seenBy(caller), 200);
  });

  return part;
}
