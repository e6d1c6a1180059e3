import { DormouseError, fromUnknown } from '@dormouse/errors';
import { isFinal, type SandboxState } from '@dormouse/lifecycle';
import type { SandboxRecord, TeamScope } from '@dormouse/store';
import type { Services } from '../context.js';
import { type SettledSandbox, settled } from './settle.js';

/** How often a state may change under our hands before we call it a day. */
const MAX_ATTEMPTS = 10;

/** A sandbox that is as wanted already, or one that has just begun to become so. */
export type Beginning =
  | { readonly done: SettledSandbox; readonly record?: undefined }
  | { readonly done?: undefined; readonly record: SandboxRecord };

/**
 * Waits until the sandbox is settled and moves it from `from` to `to`.
 *
 * @returns `done` when it is settled, but not in `from`
 * @throws DormouseError `not_found` or `invalid_state`
 */
export async function begin(
  { inFlight }: Services,
  team: TeamScope,
  id: string,
  from: SettledSandbox['state'],
  to: SandboxState,
): Promise<Beginning> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const record = await inFlight.outside(id, () => settled(team, id));
    if (record.state !== from) return { done: record };
    const begun = await team.sandboxes.transition({ id, from: record, to });
    if (begun !== undefined) return { record: begun };
  }
  throw new DormouseError('invalid_state', `the sandbox ${id} keeps changing its state; try again`);
}

/**
 * Leads back from what has failed, or is over. Whatever the host has really done (it may have finished after its
 * answer was lost), the reconciler follows it.
 */
export async function leadBack(
  { log }: Services,
  team: TeamScope,
  record: SandboxRecord,
  to: SandboxState,
  cause?: unknown,
): Promise<void> {
  try {
    const why = cause === undefined ? {} : { why: fromUnknown(cause).message };
    await team.sandboxes.transition({ id: record.id, from: record, to, ...why });
  } catch (err) {
    log.warn({ err, sandboxId: record.id, state: record.state }, 'leading a sandbox back failed');
  }
}

/**
 * The sandbox after work that could not be recorded, because somebody has moved it meanwhile.
 *
 * @throws DormouseError `invalid_state` when it is not where the work led
 */
export async function afterwards(
  team: TeamScope,
  id: string,
  wanted: SandboxState,
  doing: string,
): Promise<SandboxRecord> {
  const record = await team.sandboxes.get(id);
  if (record?.state === wanted) return record;
  const gone = record === undefined || record.state === 'stopping';
  const what = gone ? 'was destroyed' : `became ${record.state}`;
  throw new DormouseError('invalid_state', `the sandbox ${id} ${what} while it was ${doing}`);
}

/**
 * A new sandbox after its start could not be recorded, because another actor has moved it meanwhile: the host may have
 * paused it by its timeout already.
 *
 * @throws DormouseError `invalid_state` when it has ended, or is ending
 */
export async function afterStarting(team: TeamScope, id: string): Promise<SandboxRecord> {
  const record = await team.sandboxes.get(id);
  const alive = record !== undefined && record.state !== 'stopping' && !isFinal(record.state);
  if (alive && record.state !== 'pending') return record;
  throw new DormouseError('invalid_state', `the sandbox ${id} was destroyed while it was starting`);
}

/** What the host says of a sandbox that it does not have, though it should. */
export function lostByHost(id: string, thrown: unknown): unknown {
  if (!(thrown instanceof DormouseError) || thrown.code !== 'not_found') return thrown;
  return new DormouseError('invalid_state', `the host does not have the sandbox ${id}: ${thrown.message}`, {
    cause: thrown,
    suggestion: 'It can only be destroyed, unless the host gets its data directory back.',
  });
}
