import { z } from 'zod';
import { DisplayName, Email } from './identity.js';
import { Timestamp } from './primitives.js';
import { Team } from './teams.js';

export const SignUpRequest = z
  .strictObject({
    email: Email,
    password: z.string().max(1024).meta({
      description: 'At least 8 characters, and none of the most common passwords',
      example: 'correct horse battery staple',
    }),
    name: DisplayName.optional().meta({ description: 'What to call you', example: 'Ada' }),
  })
  .meta({ id: 'SignUpRequest' });
export type SignUpRequest = z.input<typeof SignUpRequest>;

export const LogInRequest = z
  .strictObject({
    email: z
      .string()
      .trim()
      .max(1024)
      .refine((value) => !value.includes('\0'), 'must not contain a NUL byte')
      .meta({ description: 'E-mail address of the account', example: 'ada@example.org' }),
    password: z
      .string()
      .max(1024)
      .meta({ description: 'Password of the account', example: 'correct horse battery staple' }),
  })
  .meta({ id: 'LogInRequest' });
export type LogInRequest = z.input<typeof LogInRequest>;

export const SwitchTeamRequest = z
  .strictObject({
    team_id: z
      .string()
      .meta({ description: 'Team to act in from now on', example: '0198c0de-7a5e-7c3e-9a51-3f6d2b8e4c01' }),
  })
  .meta({ id: 'SwitchTeamRequest' });
export type SwitchTeamRequest = z.input<typeof SwitchTeamRequest>;

export const User = z
  .object({
    id: z.uuid().meta({ description: 'Id of the person', example: '0198c0de-7a5e-7c3e-9a51-3f6d2b8e4c02' }),
    email: z.string().meta({ description: 'E-mail address they log in with', example: 'ada@example.org' }),
    name: z.string().nullable().meta({ description: 'What they are called', example: 'Ada' }),
    created_at: Timestamp,
  })
  .meta({ id: 'User' });
export type User = z.infer<typeof User>;

/** What signing up, logging in and switching teams answer. */
export const Session = z
  .object({
    token: z.string().meta({
      description: 'Send it as `Authorization: Bearer`; good for six hours, in this team',
      example: 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIwMTk4In0.c2lnbmF0dXJl',
    }),
    expires_at: Timestamp,
    user: User,
    team: Team,
  })
  .meta({ id: 'Session' });
export type Session = z.infer<typeof Session>;

export const Me = z
  .object({
    user: User.nullable().meta({ description: 'Who is logged in; null for an API key' }),
    api_key: z
      .object({
        id: z.uuid().meta({ description: 'Id of the key', example: '0198c0de-7a5e-7c3e-9a51-3f6d2b8e4c01' }),
        name: z.string().meta({ description: 'What it is called', example: 'laptop' }),
      })
      .nullable()
      .meta({ description: 'Which key asks; null for a login' }),
    team: Team,
  })
  .meta({ id: 'Me' });
export type Me = z.infer<typeof Me>;
