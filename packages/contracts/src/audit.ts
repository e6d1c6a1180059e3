import { z } from 'zod';
import { NextCursor, PageQuery } from './paging.js';
import { Timestamp } from './primitives.js';

export const AuditEntry = z
  .object({
    id: z.string().meta({ description: 'Id of the entry', example: '4711' }),
    at: Timestamp,
    actor: z.string().meta({
      description: "The user's e-mail or the key's name, as it was then",
      example: 'ada@example.org',
    }),
    user_id: z.uuid().nullable().meta({ description: 'Who was logged in; null for an API key' }),
    api_key_id: z.uuid().nullable().meta({ description: 'Which key it was; null for a login' }),
    action: z.string().meta({ description: 'What was done', example: 'sandbox.create' }),
    target: z.string().nullable().meta({
      description: 'Id or name of what it was done to',
      example: 'sb4f9k2m7q1x8c3v6b0n5z',
    }),
    details: z
      .record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.array(z.string())]))
      .meta({ description: 'What else is worth knowing', example: { role: 'admin' } }),
    address: z.string().nullable().meta({ description: 'Where the request came from', example: '192.0.2.7' }),
    request_id: z.string().meta({
      description: 'Request that did it, as `X-Request-Id` of its answer said',
      example: 'req_0b9c1f5e7a3d4c2f',
    }),
  })
  .meta({ id: 'AuditEntry' });
export type AuditEntry = z.infer<typeof AuditEntry>;

const withoutNul = (value: string): boolean => !value.includes('\0');

/** Query of GET /v1/audit. */
export const ListAuditQuery = PageQuery.extend({
  action: z
    .string()
    .max(64)
    .refine(withoutNul, 'must not contain a NUL byte')
    .optional()
    .meta({ description: 'Only these', example: 'sandbox.create' }),
  target: z
    .string()
    .max(128)
    .refine(withoutNul, 'must not contain a NUL byte')
    .optional()
    .meta({ description: 'Only what was done to this', example: 'sb4f9k2m7q1x8c3v6b0n5z' }),
});

/** Newest first. */
export const AuditList = z
  .object({
    entries: z.array(AuditEntry).meta({ description: 'One page, newest first' }),
    next_cursor: NextCursor,
  })
  .meta({ id: 'AuditList' });
export type AuditList = z.infer<typeof AuditList>;
