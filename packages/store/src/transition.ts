import { move } from '@dormouse/lifecycle';
import { type Kysely, sql } from 'kysely';
import type { SandboxRecord, Transition } from './sandbox-record.js';
import type { Database } from './schema.js';

/**
 * Moves a sandbox by compare-and-swap on (state, generation).
 *
 * @param teamId only where it belongs to this team; undefined: whoever owns it
 * @returns the sandbox after the move, or undefined when it was not (any more) where the caller believed
 * @throws DormouseError `invalid_state` for a move the lifecycle does not know
 */
export async function compareAndSwap(
  db: Kysely<Database>,
  teamId: string | undefined,
  { id, from, to, changes = {} }: Transition,
): Promise<SandboxRecord | undefined> {
  const next = move(from, to);
  let query = db
    .updateTable('sandboxes')
    .set({ state: next.state, generation: next.generation, state_changed_at: sql<Date>`now()` })
    .where('id', '=', id)
    .where('state', '=', from.state)
    .where('generation', '=', from.generation);
  if (teamId !== undefined) query = query.where('team_id', '=', teamId);
  if (changes.reason !== undefined) query = query.set({ reason: changes.reason });
  if (changes.startedAt !== undefined) query = query.set({ started_at: changes.startedAt });
  if (changes.lastActiveAt !== undefined) query = query.set({ last_active_at: changes.lastActiveAt });
  if (changes.deleted) query = query.set({ deleted_at: sql<Date>`coalesce(deleted_at, now())` });
  return query.returningAll().executeTakeFirst();
}
