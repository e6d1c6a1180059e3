import { type Kysely, sql, type Transaction } from 'kysely';
import type { NewEvent } from './event-record.js';
import type { Database } from './schema.js';

/**
 * Makes everything that writes events of one team, or counts what it has, wait for each other until the end of the
 * transaction. So numbers of events become visible in their order: who has read up to one has missed none before it.
 * Taken before any row is locked, so that nobody waits for somebody who waits for him.
 */
export async function lockTeam(transaction: Transaction<Database>, teamId: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`team ${teamId}`}, 0))`.execute(transaction);
}

/** Writes an event of a team whose lock is held. */
export async function insertEvent(
  transaction: Transaction<Database>,
  teamId: string,
  actor: string,
  event: NewEvent,
): Promise<void> {
  await transaction
    .insertInto('events')
    .values({
      team_id: teamId,
      type: event.type,
      sandbox_id: event.sandboxId ?? null,
      snapshot_id: event.snapshotId ?? null,
      actor,
      reason: event.reason ?? null,
      data: JSON.stringify(event.data ?? {}),
    })
    .execute();
}

/** The team a sandbox belongs to, which never changes. */
export async function teamOf(db: Kysely<Database>, sandboxId: string): Promise<string | undefined> {
  const row = await db
    .selectFrom('sandboxes')
    .select('team_id')
    .where('id', '=', sandboxId)
    .executeTakeFirst();
  return row?.team_id;
}
