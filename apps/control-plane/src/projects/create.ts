import type { CreateProjectRequest } from '@dormouse/contracts';
import type { ProjectRecord, TeamScope } from '@dormouse/store';
import type { z } from 'zod';
import type { Services } from '../context.js';
import { newProjectId } from '../random-id.js';
import { findOrigin } from '../sandboxes/origin.js';

/**
 * Makes a project, which has no sandbox before it is opened.
 *
 * @throws DormouseError `not_found` (template), `invalid_state` (a snapshot has another size), `already_exists`
 */
export async function createProject(
  services: Services,
  team: TeamScope,
  wanted: z.output<typeof CreateProjectRequest>,
): Promise<ProjectRecord> {
  const origin = await findOrigin(services, team, wanted.template);
  origin.assertSize(wanted);
  return team.projects.insert({
    id: newProjectId(),
    name: wanted.name,
    template: wanted.template,
    keepLast: wanted.keep_last,
    workspace: wanted.workspace,
    vcpus: wanted.vcpus ?? null,
    memoryMb: wanted.memory_mb ?? null,
    timeoutSec: wanted.timeout_sec,
    internet: wanted.internet,
    envs: wanted.envs,
    metadata: wanted.metadata,
  });
}
