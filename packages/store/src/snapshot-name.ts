import { DormouseError } from '@dormouse/errors';
import { type Kysely, sql } from 'kysely';
import type { Database } from './schema.js';
import type { SnapshotRecord } from './snapshot-record.js';

/**
 * Refuses to let a new snapshot take its name from the one that has it, where it may not. A caller that asked for it
 * may take any name. A build of a template may take only what an older build of this name made: the name was free, or
 * a template's, when the build was asked for, and somebody may have given it to a snapshot of their own since.
 *
 * Only within a transaction that holds the team's lock does the answer hold.
 *
 * @throws DormouseError `already_exists`
 */
export async function assertMayTakeName(
  db: Kysely<Database>,
  teamId: string,
  { id, name, overwrite }: Pick<SnapshotRecord, 'id' | 'name' | 'overwrite'>,
  holderId: string,
): Promise<void> {
  if (!overwrite) throw nameTaken(name);
  const { rows } = await sql<{ readonly is_built: boolean; readonly is_older: boolean | null }>`
    select holder.id is not null as is_built, (holder.created_at, holder.id) < (own.created_at, own.id) as is_older
      from template_builds own
      left join template_builds holder on holder.team_id = own.team_id and holder.snapshot_id = ${holderId}
      where own.team_id = ${teamId} and own.snapshot_id = ${id}`.execute(db);
  const [build] = rows;
  if (build === undefined || build.is_older === true) return;
  if (build.is_built) throw new DormouseError('already_exists', `a newer build of ${name} is ready already`);
  throw new DormouseError('already_exists', `${name} is the name of a snapshot that was not built`, {
    suggestion: 'Choose another name.',
  });
}

/** What a caller is told who may not take the name of another snapshot. */
function nameTaken(name: string): DormouseError {
  return new DormouseError('already_exists', `there is a snapshot ${name} already`, {
    suggestion: 'Choose another name, or replace it with ?overwrite=true.',
  });
}
