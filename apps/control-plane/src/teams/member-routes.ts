import { maySetRole } from '@dormouse/auth';
import {
  AddMemberRequest,
  ChangeMemberRequest,
  DEFAULT_PAGE_SIZE,
  Member,
  MemberList,
  PageQuery,
} from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import type { MemberRecord } from '@dormouse/store';
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import type { Services } from '../context.js';
import { type App, createPart } from '../http/app.js';
import { jsonBody } from '../http/json-body.js';
import { allow, forbidden } from '../http/permission.js';
import { errors, json, jsonRequest } from '../http/route-parts.js';
import { audited } from '../http/route-table.js';
import { MAX_MEMBERS } from './bounds.js';
import { enterTeam } from './enter.js';
import { TeamParams } from './routes.js';

const MemberParams = TeamParams.extend({
  user_id: z
    .string()
    .meta({ description: 'Id of the member', example: '0198c0de-7a5e-7c3e-9a51-3f6d2b8e4c02' }),
});

const list = createRoute({
  method: 'get',
  path: '/v1/teams/{id}/members',
  operationId: 'listMembers',
  tags: ['Teams'],
  summary: 'List members',
  description: 'Who joined last comes first.',
  request: { params: TeamParams, query: PageQuery },
  responses: { 200: json(MemberList, 'One page'), ...errors('not_found') },
});

const add = createRoute({
  method: 'post',
  path: '/v1/teams/{id}/members',
  operationId: 'addMember',
  tags: ['Teams'],
  summary: 'Add a member',
  description: 'Somebody who has signed up, by e-mail. For owners and admins; only owners make owners.',
  ...audited('member.add'),
  middleware: [jsonBody] as const,
  request: { params: TeamParams, body: jsonRequest(AddMemberRequest) },
  responses: {
    201: json(Member, 'They are in the team'),
    ...errors('forbidden', 'not_found', 'already_exists', 'quota_exceeded', 'payload_too_large'),
  },
});

const change = createRoute({
  method: 'patch',
  path: '/v1/teams/{id}/members/{user_id}',
  operationId: 'changeMember',
  tags: ['Teams'],
  summary: "Change a member's role",
  description: [
    'For owners and admins; only owners decide about owners. It holds at once, for logins and keys they have.',
    'A team always has an owner.',
  ].join(' '),
  ...audited('member.change_role'),
  middleware: [jsonBody] as const,
  request: { params: MemberParams, body: jsonRequest(ChangeMemberRequest) },
  responses: {
    200: json(Member, 'They have that role now'),
    ...errors('forbidden', 'not_found', 'invalid_state', 'payload_too_large'),
  },
});

const remove = createRoute({
  method: 'delete',
  path: '/v1/teams/{id}/members/{user_id}',
  operationId: 'removeMember',
  tags: ['Teams'],
  summary: 'Remove a member, or leave',
  description: [
    'Logins they have for this team end at once, and the API keys they have made in it are deleted.',
    'Everybody may leave, except for the last owner. Removing others is for owners and admins.',
  ].join(' '),
  ...audited('member.remove'),
  request: { params: MemberParams },
  responses: {
    204: { description: 'They are not in the team any more' },
    ...errors('forbidden', 'not_found', 'invalid_state'),
  },
});

/** The people of a team. */
export function memberRoutes(services: Services): App {
  const part = createPart();

  part.openapi(list, async (c) => {
    const { team } = await enterTeam(services, c, c.req.valid('param').id, 'members.read');
    const { limit = DEFAULT_PAGE_SIZE, cursor } = c.req.valid('query');
    const page = await team.members.list({ limit, cursor });
    return c.json({ members: page.items.map(presentMember), next_cursor: page.nextCursor }, 200);
  });

  part.openapi(add, async (c) => {
    const { team, caller } = await enterTeam(services, c, c.req.valid('param').id, 'members.add');
    const { email, role } = c.req.valid('json');
    if (!maySetRole(caller.role, role)) throw forbidden(caller);
    const member = await team.members.add(email, role, MAX_MEMBERS);
    c.set('auditDetails', { email: member.email, role });
    return c.json(presentMember(member), 201);
  });

  part.openapi(change, async (c) => {
    const { id, user_id: userId } = c.req.valid('param');
    const { team, caller } = await enterTeam(services, c, id, 'members.change_role');
    const { role } = c.req.valid('json');
    let before: string = role;
    const member = await team.members.setRole(userId, role, (present) => {
      if (!maySetRole(caller.role, present.role) || !maySetRole(caller.role, role)) throw forbidden(caller);
      before = present.role;
    });
    if (member === undefined) throw noSuchMember(userId);
    c.set('auditDetails', { email: member.email, role, before });
    return c.json(presentMember(member), 200);
  });

  part.openapi(remove, async (c) => {
    const { id, user_id: userId } = c.req.valid('param');
    const { team, caller } = await enterTeam(services, c, id, 'members.leave');
    const leaving = caller.keyId === null && userId === caller.userId;
    if (!leaving) allow(caller, 'members.remove');
    const member = await team.members.remove(userId, ({ role }) => {
      if (!leaving && !maySetRole(caller.role, role)) throw forbidden(caller);
    });
    if (member === undefined) throw noSuchMember(userId);
    c.set('auditDetails', { email: member.email, role: member.role });
    return c.body(null, 204);
  });

  return part;
}

function presentMember({ id, email, name, role, created_at }: MemberRecord): Member {
  return { user_id: id, email, name, role, joined_at: created_at.toISOString() };
}

function noSuchMember(userId: string): DormouseError {
  return new DormouseError('not_found', `the team has no member ${userId.slice(0, 64)}`);
}
