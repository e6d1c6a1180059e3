import { assertFollow, type LifecyclePosition, move } from '@dormouse/lifecycle';
import { type Kysely, sql, type Transaction } from 'kysely';
import { insertEvent, lockTeam, teamOf } from './events.js';
import { eventOfMove } from './move-event.js';
import type { Mover } from './mover.js';
import { assertRoom } from './quotas.js';
import {
  type Follow,
  SANDBOX_COLUMNS,
  type SandboxRecord,
  type Transition,
  type TransitionChanges,
} from './sandbox-record.js';
import type { Database } from './schema.js';

/** One move of a row, however it was decided. */
interface Swap {
  readonly id: string;
  readonly from: LifecyclePosition;
  readonly next: LifecyclePosition;
  readonly changes?: TransitionChanges | undefined;
  /** Why, for the event. Default: the reason among the changes. */
  readonly why?: string | undefined;
  /** No event: it is told otherwise. */
  readonly silent?: boolean | undefined;
}

/**
 * Moves a sandbox by compare-and-swap on (state, generation), and writes the event of it in the same transaction.
 *
 * @param teamId only where it belongs to this team, within its quotas; undefined: whoever owns it
 * @returns the sandbox after the move, or undefined when it was not (any more) where the caller believed
 * @throws DormouseError `invalid_state` for a move the lifecycle does not know, `quota_exceeded`
 */
export async function compareAndSwap(
  db: Kysely<Database>,
  mover: Mover,
  teamId: string | undefined,
  { id, from, to, changes, why }: Transition,
): Promise<SandboxRecord | undefined> {
  const next = move(from, to);
  return db.transaction().execute(async (transaction) => {
    const owner = teamId ?? (await teamOf(transaction, id));
    if (owner === undefined) return undefined;
    await lockTeam(transaction, owner);
    if (teamId !== undefined && to === 'resuming')
      await assertRoom(transaction, teamId, mover.quotas, 'running');
    if (teamId !== undefined && to === 'pausing')
      await assertRoom(transaction, teamId, mover.quotas, 'paused');
    return swap(transaction, mover, owner, { id, from, next, changes, why });
  });
}

/**
 * Takes over where a host is, by compare-and-swap on (state, generation).
 *
 * @returns the sandbox afterwards, or undefined when it was not (any more) where the caller believed
 * @throws DormouseError `invalid_state` when no legal moves lead there
 */
export async function compareAndFollow(
  db: Kysely<Database>,
  mover: Mover,
  { id, from, to, changes, silent }: Follow,
): Promise<SandboxRecord | undefined> {
  assertFollow(from, to);
  return db.transaction().execute(async (transaction) => {
    const owner = await teamOf(transaction, id);
    if (owner === undefined) return undefined;
    await lockTeam(transaction, owner);
    return swap(transaction, mover, owner, { id, from, next: to, changes, silent });
  });
}

/** The move itself, for who holds the lock of the team. */
export async function swap(
  transaction: Transaction<Database>,
  { actor, processId }: Mover,
  teamId: string,
  { id, from, next, changes = {}, why, silent = false }: Swap,
): Promise<SandboxRecord | undefined> {
  let query = transaction
    .updateTable('sandboxes')
    .set({
      state: next.state,
      generation: next.generation,
      state_changed_at: sql<Date>`clock_timestamp()`,
      moved_by: processId,
    })
    .where('team_id', '=', teamId)
    .where('id', '=', id)
    .where('state', '=', from.state)
    .where('generation', '=', from.generation);
  if (changes.reason !== undefined) query = query.set({ reason: changes.reason });
  if (changes.startedAt !== undefined) query = query.set({ started_at: changes.startedAt });
  if (changes.lastActiveAt !== undefined) query = query.set({ last_active_at: changes.lastActiveAt });
  if (changes.pausedAt !== undefined) query = query.set({ paused_at: changes.pausedAt });
  if (changes.resumedBy !== undefined) query = query.set({ resumed_by: changes.resumedBy });
  if (changes.timeoutSec !== undefined) query = query.set({ timeout_sec: changes.timeoutSec });
  if (changes.onMemoryLoss !== undefined) query = query.set({ on_memory_loss: changes.onMemoryLoss });
  if (changes.deleted) {
    query = query.set({
      deleted_at: sql<Date>`coalesce(deleted_at, now())`,
      deleted_by: sql<string>`coalesce(deleted_by, ${actor})`,
    });
  }
  const row = await query.returning(SANDBOX_COLUMNS).executeTakeFirst();
  const type = silent ? undefined : eventOfMove(from.state, next.state);
  if (row !== undefined && type !== undefined) {
    const reason = why ?? changes.reason ?? null;
    const data = type === 'sandbox.resumed' ? { resumed_by: row.resumed_by } : {};
    // A deletion may be finished by another actor than the one who asked for it.
    const by = type === 'sandbox.deleted' ? (row.deleted_by ?? actor) : actor;
    await insertEvent(transaction, teamId, by, { type, sandboxId: id, reason, data });
  }
  return row;
}
