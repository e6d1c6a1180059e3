import { setTimeout as wait } from 'node:timers/promises';
import { fromUnknown } from '@dormouse/errors';
import type { Services } from '../context.js';
import { tryHolding } from './hold.js';
import { freeDeleted } from './remove.js';
import { settleUnfinished } from './settle-unfinished.js';

/** Pause between two rounds. */
const INTERVAL_MS = 5_000;

/**
 * Finishes or undoes once what control planes that are gone have left of projects: saves and closes that were begun,
 * sandboxes that were being made, projects that were deleted. Whether the snapshots and sandboxes themselves came to
 * be is the reconciler's to find out; until then they wait.
 *
 * @returns the projects that were looked after
 * @throws when the database cannot be reached
 */
export async function repairProjects(services: Services): Promise<readonly string[]> {
  const { store, log } = services;
  const repaired: string[] = [];
  for (const { id, teamId } of await store.system.projects.unfinished()) {
    const team = store.forTeam(teamId);
    try {
      const done = await tryHolding(services, team, id, async (hold) => {
        if (hold.project.deleted_at === null) return settleUnfinished(services, hold);
        await freeDeleted(services, hold);
        return true;
      });
      if (done) repaired.push(id);
    } catch (err) {
      log.warn({ err, projectId: id }, 'repairing a project failed');
    }
  }
  await store.system.projects.sweepSaves();
  return repaired;
}

/** Repairs at once and then every five seconds until stopped; the log hears once that it fails. */
export async function repairProjectsForEver(services: Services, stop: AbortSignal): Promise<void> {
  const { log } = services;
  let failing = false;
  while (!stop.aborted) {
    try {
      for (const projectId of await repairProjects(services)) log.info({ projectId }, 'project repaired');
      failing = false;
    } catch (thrown) {
      const { code, message } = fromUnknown(thrown);
      log[failing ? 'debug' : 'warn']({ code, reason: message }, 'cannot repair projects');
      failing = true;
    }
    await wait(INTERVAL_MS, undefined, { signal: stop }).catch(() => undefined);
  }
}
