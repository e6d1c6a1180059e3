import { SNAPSHOT_ID_PATTERN } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import type { ProjectRecord, SandboxRecord, TeamScope } from '@dormouse/store';
import type { Services } from '../context.js';
import { asBegun } from '../host-call.js';
import { pauseSandbox } from '../sandboxes/pause.js';
import { resumeSandbox } from '../sandboxes/resume.js';
import { findProject } from './find.js';
import { type Hold, holdProject } from './hold.js';
import { keepMoment } from './keep.js';
import { adopt, type Opened } from './open.js';
import { presentSandboxOf } from './sandbox.js';
import { sizeOf } from './save.js';
import { settleUnfinished } from './settle-unfinished.js';
import { spawnFor } from './spawn.js';

/**
 * Opens a project at a moment that was kept. Where it is open its present moment is kept first, automatically, so that
 * one can come back; its sandbox goes when the other one runs. When restoring fails it goes on where it was.
 *
 * @throws DormouseError `not_found` (project or moment), or what pausing, keeping and making a sandbox throw
 */
export async function restoreProject(
  services: Services,
  team: TeamScope,
  nameOrId: string,
  snapshotId: string,
): Promise<Opened> {
  const { id } = await findProject(team, nameOrId);
  return services.operations.run(id, `restore ${snapshotId}`, () =>
    holdProject(services, team, id, async (hold) => {
      await settleUnfinished(services, hold);
      const known = SNAPSHOT_ID_PATTERN.test(snapshotId);
      const moment = known ? await team.projectSaves.get(id, snapshotId) : undefined;
      if (moment === undefined) throw noSuchMoment(hold.project, snapshotId);
      const present = await presentSandboxOf(team, hold.project.sandbox_id);
      if (present === undefined) return goTo(services, hold, snapshotId);
      // Keeping the present moment makes the others one older; the one that is wanted stays meanwhile.
      await hold.change({ restoringId: snapshotId });
      try {
        return await leaveFor(services, hold, present, snapshotId);
      } finally {
        await settle(services, hold);
      }
    }),
  );
}

/** What cannot be done now the repair does: all of it is recorded. */
async function settle(services: Services, hold: Hold): Promise<void> {
  try {
    await hold.refresh();
    await settleUnfinished(services, hold);
  } catch (err) {
    services.log.warn({ err, projectId: hold.project.id }, 'a restore left something to be repaired');
  }
}

async function goTo(
  services: Services,
  hold: Hold,
  snapshotId: string,
  leaving?: SandboxRecord,
): Promise<Opened> {
  const opened = await adopt(hold, await spawnFor(services, hold, snapshotId), snapshotId, leaving);
  return { ...opened, restoreError: null };
}

async function leaveFor(
  services: Services,
  hold: Hold,
  present: SandboxRecord,
  snapshotId: string,
): Promise<Opened> {
  const { team } = hold;
  const size = await sizeOf(services, hold.project, present);
  const paused = await pauseSandbox(services, team, present.id, { memory: true });
  try {
    await keepMoment(services, hold, paused, { description: null, metadata: {}, size });
    return await goTo(services, hold, snapshotId, paused);
  } catch (thrown) {
    if (present.state !== 'paused') await wake(services, hold, present.id);
    // The present moment may have been kept: asking again would keep it again.
    throw asBegun(thrown);
  }
}

/** It goes on where it was; where that fails it stays paused, and opening the project tries again. */
async function wake(services: Services, { team, project }: Hold, id: string): Promise<void> {
  try {
    // An answer of the database may have been lost, and the project be elsewhere already.
    if ((await team.projects.get(project.id))?.sandbox_id !== id) return;
    await resumeSandbox(services, team, id, { reboot: false });
  } catch (err) {
    services.log.warn(
      { err, sandboxId: id },
      'a project could not go on after a failed restore; it is paused',
    );
  }
}

function noSuchMoment({ id }: ProjectRecord, snapshotId: string): DormouseError {
  return new DormouseError('not_found', `the project ${id} has no snapshot ${snapshotId.slice(0, 64)}`, {
    suggestion: `GET /v1/projects/${id}/snapshots lists them.`,
  });
}
