import type { TeamScope } from '@dormouse/store';
import type { Services } from '../context.js';
import { discardSandbox } from '../sandboxes/discard.js';
import { findProject } from './find.js';
import { type Hold, holdProject } from './hold.js';
import { removeMoment } from './keep.js';
import { freeLeft } from './settle-unfinished.js';

/**
 * Deletes a project with its sandbox and its moments. What is marked in the database is as good as gone: what cannot
 * be freed now is freed later.
 *
 * @throws DormouseError `not_found`, or `invalid_state` when others are at it for too long
 */
export async function removeProject(services: Services, team: TeamScope, nameOrId: string): Promise<void> {
  const { id } = await findProject(team, nameOrId);
  await services.operations.run(id, 'remove', () =>
    holdProject(services, team, id, async (hold) => {
      await hold.change({ deleted: true });
      try {
        await freeDeleted(services, hold);
      } catch (err) {
        services.log.warn({ err, projectId: id }, 'a deleted project could not be freed; it is tried again');
      }
    }),
  );
}

/** Frees everything that a deleted project has, and forgets it. */
export async function freeDeleted(services: Services, hold: Hold): Promise<void> {
  const { team, project } = hold;
  for (const sandboxId of [project.next_sandbox_id, project.sandbox_id]) {
    if (sandboxId !== null) await discardSandbox(services, team, sandboxId);
  }
  await freeLeft(services, hold);
  for (const { id } of await team.projectSaves.all(project.id)) await removeMoment(services, team, id);
  // One that is on its way is waited for: nobody would delete it afterwards.
  const pending = project.pending_save_id;
  if (pending !== null && (await team.projectSaves.stateOf(pending)) === 'creating') return;
  await hold.remove();
}
