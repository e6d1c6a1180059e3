import { randomBytes } from 'node:crypto';
import type { CreateSnapshotRequest } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import type { Snapshot as HostSnapshot } from '@dormouse/host-api';
import type { CommittedSnapshot, SandboxRecord, SnapshotRecord, TeamScope } from '@dormouse/store';
import type { z } from 'zod';
import type { Services } from '../context.js';
import { expected, HOST_BOOT_TIMEOUT_MS, hostCall } from '../host-call.js';
import { newSnapshotId } from '../random-id.js';
import { lostByHost } from '../sandboxes/begin.js';
import { findSandbox } from '../sandboxes/find.js';
import { beginMoment } from '../sandboxes/moment.js';
import { pauseNow } from '../sandboxes/pause.js';
import { hostTemplates } from '../templates/host-templates.js';
import { removeFromHost } from './remove.js';

const DEFAULT_NAME_BYTES = 4;

/** How commands are run that do not say it. */
export interface CommandDefaults {
  readonly envs?: Readonly<Record<string, string>>;
  readonly user?: string;
  readonly workdir?: string;
}

/**
 * Keeps the present moment of a sandbox under a name. The row comes first and becomes ready last, so that whatever
 * happens in between, the reconciler can finish or undo it. A name that is taken over means the old snapshot until
 * the new one is ready; only then the old one is deleted.
 *
 * @param id of the new snapshot, for who has to know it before it is there
 * @param defaults of commands in what begins with it; what is left out is as it was
 * @throws DormouseError `not_found` (sandbox), `already_exists` (name), `invalid_state`, or what the host says
 */
export async function createSnapshot(
  services: Services,
  team: TeamScope,
  wanted: z.output<typeof CreateSnapshotRequest>,
  overwrite: boolean,
  id: string = newSnapshotId(),
  defaults: CommandDefaults = {},
): Promise<SnapshotRecord> {
  const { sandbox_id: sandboxId, name = defaultName() } = wanted;
  await findSandbox(team, sandboxId);
  const templates = await hostTemplates(services);
  if (templates.some((template) => template.name === name)) {
    throw new DormouseError('already_exists', `${name} is the name of a template`, {
      suggestion: 'Choose another name.',
    });
  }
  return services.operations.run(sandboxId, `snapshot ${id}`, () =>
    services.inFlight.runAll([sandboxId, id], async () => {
      if (wanted.pause) await pauseNow(services, team, sandboxId, wanted.memory);
      const { source, end } = await beginMoment(services, team, sandboxId);
      try {
        return await take(services, team, source, { ...wanted, id, name, overwrite, defaults });
      } finally {
        await end();
      }
    }),
  );
}

interface Wanted {
  readonly id: string;
  readonly name: string;
  readonly overwrite: boolean;
  readonly memory: boolean;
  readonly description?: string | undefined;
  readonly defaults: CommandDefaults;
}

async function take(
  services: Services,
  team: TeamScope,
  source: SandboxRecord,
  { id, name, overwrite, memory, description, defaults }: Wanted,
): Promise<SnapshotRecord> {
  const creating = await team.snapshots.insert({
    id,
    name,
    overwrite,
    sandboxId: source.id,
    template: source.template,
    imageId: source.image_id,
    vcpus: source.vcpus,
    memoryMb: source.memory_mb,
    diskMb: source.disk_mb,
    diskOnly: !memory,
    description: description ?? null,
    parentId: source.parent_snapshot,
    envs: defaults.envs,
  });
  let committed: CommittedSnapshot | undefined;
  try {
    const { user = '', workdir = '' } = defaults;
    const request = { id, sandboxId: source.id, diskOnly: !memory, user, workdir };
    const { snapshot } = await hostCall(
      services.host.createSnapshot(request, { timeoutMs: HOST_BOOT_TIMEOUT_MS }),
    );
    committed = await team.snapshots.commit(creating, measured(expected(snapshot, 'the new snapshot')));
  } catch (error) {
    await undo(services, team, id);
    throw lostByHost(source.id, error);
  }
  if (committed === undefined) {
    throw new DormouseError('invalid_state', `the snapshot ${id} was given up while it was being taken`);
  }
  if (committed.replaced !== undefined) await removeFromHost(services, committed.replaced.id);
  return committed.snapshot;
}

/** What a host says of a snapshot that it has committed. */
export function measured(snapshot: HostSnapshot): {
  ownBytes: number;
  totalBytes: number;
  diskOnly: boolean;
} {
  return {
    ownBytes: Number(snapshot.ownBytes),
    totalBytes: Number(snapshot.totalBytes),
    diskOnly: snapshot.diskOnly,
  };
}

async function undo(services: Services, team: TeamScope, id: string): Promise<void> {
  try {
    if ((await team.snapshots.giveUp(id)) !== undefined) await removeFromHost(services, id);
  } catch (err) {
    services.log.warn({ err, snapshotId: id }, 'giving up a snapshot failed');
  }
}

function defaultName(): string {
  return `template-${randomBytes(DEFAULT_NAME_BYTES).toString('hex')}`;
}
