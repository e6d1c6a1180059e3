import { NAME_PATTERN } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import type { TeamScope } from '@dormouse/store';
import type { Services } from '../context.js';
import { HOST_CALL_TIMEOUT_MS, hostCall } from '../host-call.js';
import { hostTemplates } from '../templates/host-templates.js';
import { noSuchSnapshot } from './find.js';

/**
 * Deletes a snapshot of the team. What is marked in the database is as good as gone: where the host cannot do its
 * part now, the reconciler does it later.
 *
 * @throws DormouseError `not_found`, `invalid_state` for a template
 */
export async function removeSnapshot(services: Services, team: TeamScope, name: string): Promise<void> {
  if (!NAME_PATTERN.test(name)) throw noSuchSnapshot(name);
  const present = await team.snapshots.get(name);
  // What its builds have kept after their steps is for the next build of it, which nobody wants any more. It goes first:
  // whoever is interrupted finds the template still there, and deletes it again.
  if (present !== undefined && (await team.templateBuilds.made(present.id))) {
    await removeLayers(services, team, present.name, []);
  }
  if (await removeIfPresent(services, team, name)) return;
  const templates = await hostTemplates(services);
  if (!templates.some((template) => template.name === name)) throw noSuchSnapshot(name);
  throw new DormouseError('invalid_state', `${name} is a template, not a snapshot`, {
    suggestion: 'Templates belong to the host and are used by all teams.',
  });
}

/** Deletes what builds of a template have kept after their steps, but for the layers with these keys. */
export async function removeLayers(
  services: Services,
  team: TeamScope,
  template: string,
  kept: readonly string[],
): Promise<void> {
  for (const { key, snapshot_id: id } of await team.templateBuilds.layers(template)) {
    if (kept.includes(key)) continue;
    await removeIfPresent(services, team, id);
    await team.templateBuilds.forgetLayer(template, key, id);
  }
}

/** Whether there was such a snapshot. */
export async function removeIfPresent(
  services: Services,
  team: TeamScope,
  nameOrId: string,
): Promise<boolean> {
  const deleting = await team.snapshots.beginDeleting(nameOrId);
  if (deleting !== undefined) await removeFromHost(services, deleting.id);
  return deleting !== undefined;
}

/** Has the host let go of a snapshot that is marked as `deleting`. A failure is left to the reconciler. */
export async function removeFromHost(services: Services, id: string): Promise<void> {
  try {
    await services.inFlight.run(id, () => finishRemoval(services, id));
  } catch (err) {
    services.log.warn({ err, snapshotId: id }, 'the host could not delete a snapshot; it is tried again');
  }
}

/** @throws DormouseError when host or database cannot be reached */
export async function finishRemoval({ host, store }: Services, id: string): Promise<void> {
  await hostCall(host.deleteSnapshot({ id }, { timeoutMs: HOST_CALL_TIMEOUT_MS }));
  await store.system.snapshots.finishDeleting(id);
}
