import { NAME_PATTERN } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import type { ProjectRecord, SaveRecord, TeamScope } from '@dormouse/store';

/**
 * A project of the team by id or name.
 *
 * @throws DormouseError `not_found`, the same for unknown ids, another team's and deleted ones
 */
export async function findProject(team: TeamScope, nameOrId: string): Promise<ProjectRecord> {
  const record = NAME_PATTERN.test(nameOrId) ? await team.projects.get(nameOrId) : undefined;
  if (record === undefined) throw noSuchProject(nameOrId);
  return record;
}

/** The one answer for every project that a team has not got. */
export function noSuchProject(nameOrId: string): DormouseError {
  return new DormouseError('not_found', `there is no project ${nameOrId.slice(0, 64)}`);
}

/** Where a project opens when it has no sandbox: its head, or what is left of its moments. */
export async function newestMoment(team: TeamScope, project: ProjectRecord): Promise<SaveRecord | undefined> {
  const head =
    project.head_id === null ? undefined : await team.projectSaves.get(project.id, project.head_id);
  return head ?? (await team.projectSaves.newest(project.id));
}
