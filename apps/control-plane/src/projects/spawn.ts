import type { CreateSandboxRequest } from '@dormouse/contracts';
import type { ProjectRecord, SandboxRecord } from '@dormouse/store';
import type { z } from 'zod';
import type { Services } from '../context.js';
import { newSandboxId } from '../random-id.js';
import { createSandbox } from '../sandboxes/create.js';
import { discardSandbox } from '../sandboxes/discard.js';
import type { Hold } from './hold.js';

/** By this label the sandbox of a project is found. */
const PROJECT_LABEL = 'project';

/**
 * Makes a sandbox for a project, which is not its own before the project is changed. Its id is recorded first, so
 * that after a crash it does not go on running for nobody.
 *
 * @param snapshotId what it begins with; undefined: the template
 * @throws DormouseError what making a sandbox throws; there is nothing of it then
 */
export async function spawnFor(
  services: Services,
  hold: Hold,
  snapshotId: string | undefined,
): Promise<SandboxRecord> {
  const { team, project } = hold;
  const id = newSandboxId();
  await hold.change({ nextSandboxId: id });
  try {
    const envs = await team.projects.envsOf(project.id);
    return await createSandbox(services, team, wantedFor(project, envs, snapshotId), id);
  } catch (thrown) {
    await undo(services, hold, id);
    throw thrown;
  }
}

/**
 * Destroys a sandbox that was not made, or was made and could not be recorded. The project forgets its id only when it
 * is gone or on its way out: until then `settleUnfinished` finds it by that id and destroys it.
 */
async function undo(services: Services, hold: Hold, id: string): Promise<void> {
  try {
    await discardSandbox(services, hold.team, id);
    await hold.change({ nextSandboxId: null });
  } catch (err) {
    services.log.warn({ err, projectId: hold.project.id, sandboxId: id }, 'giving up a new sandbox failed');
  }
}

/** A snapshot has the size it was taken with; the template may be asked for another. */
function wantedFor(
  project: ProjectRecord,
  envs: Readonly<Record<string, string>>,
  snapshotId: string | undefined,
): z.output<typeof CreateSandboxRequest> {
  const size = { vcpus: project.vcpus ?? undefined, memory_mb: project.memory_mb ?? undefined };
  return {
    template: snapshotId ?? project.template,
    ...(snapshotId === undefined ? size : {}),
    timeout_sec: project.timeout_sec,
    on_timeout: 'pause',
    on_memory_loss: 'reboot',
    internet: project.internet,
    envs: { ...envs },
    metadata: { ...project.metadata, [PROJECT_LABEL]: project.id },
  };
}
