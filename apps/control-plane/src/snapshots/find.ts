import { NAME_PATTERN, type Snapshot } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import type { TeamScope } from '@dormouse/store';
import type { Services } from '../context.js';
import { hostTemplates } from '../templates/host-templates.js';
import { presentBase, presentSnapshot } from './present.js';

/**
 * A snapshot of the team by name or id, or a template by name.
 *
 * @throws DormouseError `not_found`, the same for unknown names, another team's and deleted ones
 */
export async function findSnapshot(services: Services, team: TeamScope, name: string): Promise<Snapshot> {
  if (!NAME_PATTERN.test(name)) throw noSuchSnapshot(name);
  const template = (await hostTemplates(services)).find((candidate) => candidate.name === name);
  if (template !== undefined) return presentBase(template);
  const record = await team.snapshots.get(name);
  if (record === undefined) throw noSuchSnapshot(name);
  const ancestors = await team.snapshots.ancestors([record.id]);
  return presentSnapshot(record, ancestors.get(record.id) ?? []);
}

/** The one answer for every snapshot that a team has not got. */
export function noSuchSnapshot(name: string): DormouseError {
  return new DormouseError('not_found', `there is no snapshot ${name.slice(0, 64)}`);
}
