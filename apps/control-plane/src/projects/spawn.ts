import type { CreateSandboxRequest } from '@dormouse/contracts';
import type { ProjectRecord, SandboxRecord } from '@dormouse/store';
import type { z } from 'zod';
import type { Services } from '../context.js';
import { newSandboxId } from '../random-id.js';
import { createSandbox } from '../sandboxes/create.js';
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
    return await createSandbox(services, team, wantedFor(project, snapshotId), id);
  } catch (thrown) {
    // The project says what went wrong; a row of its own would tell nobody anything.
    await team.sandboxes.hideEnded(id);
    await hold.change({ nextSandboxId: null });
    throw thrown;
  }
}

/** A snapshot has the size it was taken with; the template may be asked for another. */
function wantedFor(
  project: ProjectRecord,
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
    envs: project.envs,
    metadata: { ...project.metadata, [PROJECT_LABEL]: project.id },
  };
}
