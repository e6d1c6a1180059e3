import type { SaveProjectRequest } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import type { ProjectRecord, SandboxRecord, SaveRecord, TeamScope } from '@dormouse/store';
import type { z } from 'zod';
import type { Services } from '../context.js';
import { newSnapshotId } from '../random-id.js';
import { findProject } from './find.js';
import { holdProject } from './hold.js';
import { keepMoment } from './keep.js';
import { measureWorkspace, type WorkspaceSize } from './measure.js';
import { presentSandboxOf } from './sandbox.js';
import { settleUnfinished } from './settle-unfinished.js';

/**
 * Keeps the present moment of an open project, which goes on as it was.
 *
 * @throws DormouseError `not_found`, `invalid_state` when it is closed, or what keeping a snapshot throws
 */
export async function saveProject(
  services: Services,
  team: TeamScope,
  nameOrId: string,
  { description, metadata }: z.output<typeof SaveProjectRequest>,
): Promise<SaveRecord> {
  const { id } = await findProject(team, nameOrId);
  // Two saves are two moments: their key is never another's.
  return services.operations.run(id, `save ${newSnapshotId()}`, () =>
    holdProject(services, team, id, async (hold) => {
      await settleUnfinished(services, hold);
      const sandbox = await presentSandboxOf(team, hold.project.sandbox_id);
      if (sandbox === undefined) throw notOpen(hold.project);
      const size = await sizeOf(services, hold.project, sandbox);
      return keepMoment(services, hold, sandbox, { description: description ?? null, metadata, size });
    }),
  );
}

/** What the workspace of a project holds; undefined where nobody can look: in a paused sandbox, say. */
export async function sizeOf(
  services: Services,
  project: ProjectRecord,
  sandbox: SandboxRecord,
): Promise<WorkspaceSize | undefined> {
  if (sandbox.state === 'paused') return undefined;
  return measureWorkspace(services, sandbox.id, project.workspace);
}

function notOpen({ id }: ProjectRecord): DormouseError {
  return new DormouseError('invalid_state', `the project ${id} is closed: there is nothing to save`, {
    suggestion: `Open it: POST /v1/projects/${id}/open.`,
  });
}
