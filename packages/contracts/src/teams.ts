import { z } from 'zod';
import { DisplayName, Email } from './identity.js';
import { NextCursor } from './paging.js';
import { Timestamp } from './primitives.js';

export const TeamRole = z.enum(['owner', 'admin', 'member']).meta({
  description:
    'owner: everything. admin: everything but deciding about owners. member: sandboxes, snapshots and their own keys',
  example: 'member',
});
export type TeamRole = z.infer<typeof TeamRole>;

export const Team = z
  .object({
    id: z.uuid().meta({ description: 'Id of the team', example: '0198c0de-7a5e-7c3e-9a51-3f6d2b8e4c01' }),
    name: z.string().meta({ description: 'Name of the team', example: 'Analytical Engines' }),
    role: TeamRole.meta({ description: 'What the asker is in it. A key is never more than admin' }),
    created_at: Timestamp,
  })
  .meta({ id: 'Team' });
export type Team = z.infer<typeof Team>;

export const TeamList = z
  .object({ teams: z.array(Team).meta({ description: 'All you are in' }), next_cursor: NextCursor })
  .meta({ id: 'TeamList' });
export type TeamList = z.infer<typeof TeamList>;

/** Body of POST /v1/teams and of PATCH /v1/teams/{id}. */
export const TeamRequest = z
  .strictObject({
    name: DisplayName.meta({ description: 'What you call it', example: 'Analytical Engines' }),
  })
  .meta({ id: 'TeamRequest' });
export type TeamRequest = z.input<typeof TeamRequest>;

export const Member = z
  .object({
    user_id: z
      .uuid()
      .meta({ description: 'Id of the person', example: '0198c0de-7a5e-7c3e-9a51-3f6d2b8e4c02' }),
    email: z.string().meta({ description: 'E-mail address of the person', example: 'ada@example.org' }),
    name: z.string().nullable().meta({ description: 'What they are called', example: 'Ada' }),
    role: TeamRole,
    joined_at: Timestamp,
  })
  .meta({ id: 'Member' });
export type Member = z.infer<typeof Member>;

export const MemberList = z
  .object({ members: z.array(Member).meta({ description: 'All of them' }), next_cursor: NextCursor })
  .meta({ id: 'MemberList' });
export type MemberList = z.infer<typeof MemberList>;

export const AddMemberRequest = z
  .strictObject({ email: Email, role: TeamRole.default('member') })
  .meta({ id: 'AddMemberRequest' });
export type AddMemberRequest = z.input<typeof AddMemberRequest>;

export const ChangeMemberRequest = z.strictObject({ role: TeamRole }).meta({ id: 'ChangeMemberRequest' });
export type ChangeMemberRequest = z.input<typeof ChangeMemberRequest>;
