import type { Services } from '../context.js';
import { discardSandbox } from '../sandboxes/discard.js';
import type { Hold } from './hold.js';
import { concludeMoment } from './keep.js';
import { freePaused } from './sandbox.js';

/**
 * Finishes or undoes what whoever held the project before did not live to finish: a sandbox that was being made for
 * it goes; a moment that came to be becomes the one it opens with, and where it was being closed its sandbox goes; a
 * moment that did not come to be is forgotten; a sandbox that the project has left goes.
 *
 * @returns whether nothing is left: the host may be keeping the moment this very moment
 */
export async function settleUnfinished(services: Services, hold: Hold): Promise<boolean> {
  const { team } = hold;
  const { next_sandbox_id: nextSandboxId, pending_save_id: saveId } = hold.project;
  if (nextSandboxId !== null) {
    await discardSandbox(services, team, nextSandboxId);
    await hold.change({ nextSandboxId: null });
  }
  await freeLeft(services, hold);
  const settled = saveId === null || (await settleSave(services, hold, saveId));
  // Only then: a moment that is kept while the project goes back has retention done once it is ready.
  if (settled && hold.project.restoring_id !== null) await hold.change({ restoringId: null });
  return settled;
}

async function settleSave(services: Services, hold: Hold, saveId: string): Promise<boolean> {
  const { team } = hold;
  switch (await team.projectSaves.stateOf(saveId)) {
    case 'creating':
      return false;
    case 'ready':
      await concludeMoment(services, hold, saveId);
      await freeClosed(services, hold);
      return true;
    default:
      await team.projectSaves.remove(saveId);
      await hold.change({ pendingSaveId: null, closingGeneration: null });
      return true;
  }
}

/** The end of going back: the sandbox that the project has left goes, unless it has been woken since. */
export async function freeLeft(services: Services, hold: Hold): Promise<void> {
  const { leaving_sandbox_id: sandboxId, leaving_generation: generation } = hold.project;
  if (sandboxId === null || generation === null) return;
  await freePaused(services, hold.team, sandboxId, generation);
  await hold.change({ leaving: null });
}

/**
 * The end of closing: the moment is kept, so the sandbox goes.
 *
 * @returns false when somebody has woken it since, so that it stays
 */
export async function freeClosed(services: Services, hold: Hold): Promise<boolean> {
  const { sandbox_id: sandboxId, closing_generation: generation } = hold.project;
  if (sandboxId === null || generation === null) return true;
  const freed = await freePaused(services, hold.team, sandboxId, generation);
  await hold.change({
    pendingSaveId: null,
    closingGeneration: null,
    ...(freed ? { sandboxId: null } : {}),
  });
  return freed;
}
