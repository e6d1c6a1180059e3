import { setTimeout as wait } from 'node:timers/promises';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import { SandboxState } from '@dormouse/host-api';
import { takesCommands } from '@dormouse/lifecycle';
import type { SandboxRecord, TeamScope } from '@dormouse/store';
import type { Services } from '../context.js';
import { HOST_CALL_TIMEOUT_MS, hostCall } from '../host-call.js';
import { discardSandbox } from '../sandboxes/discard.js';
import { settled } from '../sandboxes/settle.js';
import { isGone } from './decide-open.js';

/** How long the reconciler, which comes by every five seconds, may take to record what a host has done by itself. */
const AGREE_TIMEOUT_MS = 15_000;

const LOOK_EVERY_MS = 200;

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

/**
 * The same, where the host agrees: it pauses sandboxes by itself, and VMs end, which the reconciler records a moment
 * later. Taken at its row's word the one would be useless and the other's newest state be passed over.
 *
 * @throws DormouseError `invalid_state` when the two do not come to agree, `unavailable`
 */
export async function confirmedSandboxOf(
  services: Services,
  team: TeamScope,
  id: string | null,
): Promise<SandboxRecord | undefined> {
  const until = performance.now() + AGREE_TIMEOUT_MS;
  for (;;) {
    const record = await presentSandboxOf(team, id);
    if (record === undefined || record.state === 'paused') return record;
    const onHost = await stateOnHost(services, record.id);
    if (onHost === SandboxState.RUNNING || onHost === SandboxState.SNAPSHOTTING) return record;
    if (performance.now() > until) {
      if (onHost === undefined || onHost === SandboxState.STOPPED) return undefined;
      throw new DormouseError('invalid_state', `the sandbox ${record.id} is changing its state`, {
        suggestion: 'Try again in a while.',
      });
    }
    await wait(LOOK_EVERY_MS);
  }
}

/** undefined: the host has no such sandbox. */
async function stateOnHost({ host }: Services, id: string): Promise<SandboxState | undefined> {
  try {
    return (await hostCall(host.getSandbox({ id }, { timeoutMs: HOST_CALL_TIMEOUT_MS }))).sandbox?.state;
  } catch (thrown) {
    if (fromUnknown(thrown).code === 'not_found') return undefined;
    throw thrown;
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
