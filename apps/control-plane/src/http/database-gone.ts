import { DormouseError, systemErrorCode } from '@dormouse/errors';

/**
 * What PostgreSQL and the way to it say while the server is away or on its way: SQLSTATE classes 57P (operator
 * intervention) and 08 (connection), and the system's own codes.
 */
const GONE = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  '57P01',
  '57P02',
  '57P03',
  '08000',
  '08003',
  '08006',
]);

/** What a client is told when the database is away for a moment; undefined for anything else. */
export function databaseGone(thrown: unknown): DormouseError | undefined {
  if (!GONE.has(systemErrorCode(thrown) ?? '')) return undefined;
  return new DormouseError('unavailable', 'the database does not answer', {
    cause: thrown,
    suggestion: 'Try again in a few seconds.',
  });
}
