import type { Services } from '../context.js';
import { removeIfPresent } from '../snapshots/remove.js';

/** What a layer is called. By that a layer is told from the snapshots of people, who cannot know an id before it is. */
export function layerName(snapshotId: string): string {
  return `layer-${snapshotId}`;
}

/**
 * Deletes layers that no template remembers: their build was cut off between keeping one and recording it.
 *
 * @returns how many
 * @throws when the database cannot be reached
 */
export async function sweepLayers(services: Services): Promise<number> {
  const orphans = await services.store.system.orphanLayers();
  for (const { id, teamId } of orphans) await removeIfPresent(services, services.store.forTeam(teamId), id);
  return orphans.length;
}
