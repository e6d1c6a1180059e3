import { z } from 'zod';

/** Longest e-mail address (RFC 5321, 4.5.3.1.3). */
const MAX_EMAIL_LENGTH = 254;

/** A name for people: of a person, a team, a key. */
export const DisplayName = z
  .string()
  .trim()
  .min(1, 'must not be empty')
  .max(64)
  .refine((name) => !/\p{Cc}/u.test(name), 'must not contain control characters');

export const Email = z
  .string()
  .trim()
  .max(MAX_EMAIL_LENGTH, `must have at most ${MAX_EMAIL_LENGTH} characters`)
  .pipe(z.email('must be an e-mail address'))
  .meta({ description: 'Upper and lower case are the same', example: 'ada@example.org' });
