import { assertFollow, type LifecyclePosition, move } from '@dormouse/lifecycle';
import { type Kysely, sql } from 'kysely';
import type { Follow, SandboxRecord, Transition, TransitionChanges } from './sandbox-record.js';
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
  { id, from, to, changes }: Transition,
): Promise<SandboxRecord | undefined> {
  return swap(db, teamId, id, from, move(from, to), changes);
}

/**
 * Takes over where a host is, by compare-and-swap on (state, generation).
 *
 * @returns the sandbox afterwards, or undefined when it was not (any more) where the caller believed
 * @throws DormouseError `invalid_state` when no legal moves lead there
 */
export async function compareAndFollow(
  db: Kysely<Database>,
  { id, from, to, changes }: Follow,
): Promise<SandboxRecord | undefined> {
  assertFollow(from, to);
  return swap(db, undefined, id, from, to, changes);
}

async function swap(
  db: Kysely<Database>,
  teamId: string | undefined,
  id: string,
  from: LifecyclePosition,
  next: LifecyclePosition,
  changes: TransitionChanges = {},
): Promise<SandboxRecord | undefined> {
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
  if (changes.pausedAt !== undefined) query = query.set({ paused_at: changes.pausedAt });
  if (changes.resumedBy !== undefined) query = query.set({ resumed_by: changes.resumedBy });
  if (changes.timeoutSec !== undefined) query = query.set({ timeout_sec: changes.timeoutSec });
  if (changes.deleted) query = query.set({ deleted_at: sql<Date>`coalesce(deleted_at, now())` });
  return query.returningAll().executeTakeFirst();
}
