import { DormouseError } from '@dormouse/errors';
import type { ProjectRecord, SaveRecord, TeamScope } from '@dormouse/store';
import type { Services } from '../context.js';
import { pauseSandbox } from '../sandboxes/pause.js';
import { findProject } from './find.js';
import { holdProject } from './hold.js';
import { keepMoment } from './keep.js';
import { presentSandboxOf } from './sandbox.js';
import { sizeOf } from './save.js';
import { freeClosed, settleUnfinished } from './settle-unfinished.js';

/** A project without a sandbox. */
export interface Closed {
  readonly project: ProjectRecord;
  /** What was kept of it; null: it had no sandbox. */
  readonly save: SaveRecord | null;
}

/**
 * Keeps the present moment of a project and frees its sandbox. The sandbox is paused first, so that nothing it does
 * is lost between the two. When keeping fails the project stays open, and its sandbox is at worst paused.
 *
 * @throws DormouseError `not_found`, or what pausing and keeping a snapshot throw
 */
export async function closeProject(services: Services, team: TeamScope, nameOrId: string): Promise<Closed> {
  const { id } = await findProject(team, nameOrId);
  return services.operations.run(id, 'close', () =>
    holdProject(services, team, id, async (hold) => {
      await settleUnfinished(services, hold);
      const sandbox = await presentSandboxOf(team, hold.project.sandbox_id);
      if (sandbox === undefined) return { project: await hold.change({ sandboxId: null }), save: null };
      const size = await sizeOf(services, hold.project, sandbox);
      const paused = await pauseSandbox(services, team, sandbox.id, { memory: true });
      const label = { description: null, metadata: {}, size, closing: true };
      const save = await keepMoment(services, hold, paused, label);
      if (await freeClosed(services, hold)) return { project: hold.project, save };
      throw new DormouseError('invalid_state', `the project ${id} was woken while it was being closed`, {
        suggestion: `Its moment before that is kept (${save.id}). Close it again when nobody uses it.`,
      });
    }),
  );
}
