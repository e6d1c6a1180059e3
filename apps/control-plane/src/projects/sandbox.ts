import { fromUnknown } from '@dormouse/errors';
import { takesCommands } from '@dormouse/lifecycle';
import type { SandboxRecord, TeamScope } from '@dormouse/store';
import type { Services } from '../context.js';
import { destroySandbox } from '../sandboxes/destroy.js';
import { settled } from '../sandboxes/settle.js';
import { isGone } from './decide-open.js';

/**
 * The sandbox of a project when nobody is at work on it: running or paused; undefined when there is none that could
 * be gone on with. One whose moment somebody is keeping runs.
 *
 * @throws DormouseError `invalid_state` when it does not settle in time
 */
export async function presentSandboxOf(
  team: TeamScope,
  id: string | null,
): Promise<SandboxRecord | undefined> {
  if (id === null) return undefined;
  const record = await team.sandboxes.get(id);
  if (record === undefined || isGone(record.state)) return undefined;
  if (takesCommands(record.state)) return record;
  try {
    return await settled(team, id);
  } catch (thrown) {
    // It may have ended while we waited.
    const now = await team.sandboxes.get(id);
    if (now === undefined || isGone(now.state)) return undefined;
    throw thrown;
  }
}

/** Destroys a sandbox that is no project's (any more). What cannot be done now the reconciler does later. */
export async function discardSandbox(services: Services, team: TeamScope, id: string): Promise<void> {
  try {
    await destroySandbox(services, team, id);
  } catch (thrown) {
    const { code } = fromUnknown(thrown);
    if (code === 'not_found') return;
    const record = await team.sandboxes.get(id);
    if (record !== undefined && record.state !== 'stopping') throw thrown;
    services.log.warn({ err: thrown, sandboxId: id }, 'a sandbox could not be destroyed; it is tried again');
  }
}

/**
 * Destroys a paused sandbox whose moment is kept, unless somebody has woken it since: what it did then is nowhere else.
 *
 * @param generation when its moment was kept
 * @returns whether it is gone
 */
export async function freePaused(
  services: Services,
  team: TeamScope,
  id: string,
  generation: number,
): Promise<boolean> {
  const from = { state: 'paused', generation } as const;
  const stopping = await team.sandboxes.transition({ id, from, to: 'stopping', changes: { deleted: true } });
  if (stopping === undefined) return isGone((await team.sandboxes.get(id))?.state);
  await discardSandbox(services, team, id);
  return true;
}
