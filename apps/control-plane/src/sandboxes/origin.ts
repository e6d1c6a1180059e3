import { DormouseError } from '@dormouse/errors';
import type { Template as HostTemplate } from '@dormouse/host-api';
import type { SnapshotRecord, TeamScope } from '@dormouse/store';
import type { Services } from '../context.js';
import { hostTemplates } from '../templates/host-templates.js';

const BYTES_PER_MB = 1024 * 1024;

/** What somebody asks a new sandbox to have. */
interface WantedSize {
  readonly vcpus?: number | undefined;
  readonly memory_mb?: number | undefined;
}

/** What a sandbox begins with. */
export interface Origin {
  /** The template it all began with. */
  readonly template: string;
  readonly imageId: string;
  /** null: it begins with the template itself. */
  readonly snapshotId: string | null;
  readonly vcpus: number;
  readonly memoryMb: number;
  readonly diskMb: number;
  /** What its sandboxes have in their environment, unless they are told otherwise. */
  readonly envs: Readonly<Record<string, string>>;
  /** @throws DormouseError `invalid_state` for a size it cannot begin with */
  assertSize(wanted: WantedSize): void;
}

/**
 * The template, or else the snapshot of the team, that a name or id means.
 *
 * @throws DormouseError `not_found`
 */
export async function findOrigin(services: Services, team: TeamScope, name: string): Promise<Origin> {
  const template = (await hostTemplates(services)).find((candidate) => candidate.name === name);
  if (template !== undefined) return fromTemplate(template);
  const snapshot = await team.snapshots.get(name);
  if (snapshot !== undefined) return fromSnapshot(snapshot, await team.snapshots.envsOf(snapshot.id));
  throw new DormouseError('not_found', `there is no template ${name}`, {
    suggestion: 'GET /v1/snapshots lists what there is: templates and your snapshots.',
  });
}

function fromTemplate(template: HostTemplate): Origin {
  return {
    template: template.name,
    imageId: template.imageId,
    snapshotId: null,
    vcpus: template.defaultVcpus,
    memoryMb: template.defaultMemoryMb,
    diskMb: Math.round(Number(template.diskBytes) / BYTES_PER_MB),
    envs: {},
    assertSize: () => undefined,
  };
}

/** A snapshot holds the state of a machine: another machine cannot go on from it. */
function fromSnapshot(snapshot: SnapshotRecord, envs: Origin['envs']): Origin {
  const { name, vcpus, memory_mb: memoryMb } = snapshot;
  return {
    template: snapshot.template,
    imageId: snapshot.image_id ?? '',
    snapshotId: snapshot.id,
    vcpus,
    memoryMb,
    diskMb: snapshot.disk_mb,
    envs,
    assertSize: (wanted) => {
      if ((wanted.vcpus ?? vcpus) === vcpus && (wanted.memory_mb ?? memoryMb) === memoryMb) return;
      throw new DormouseError(
        'invalid_state',
        `the snapshot ${name} was frozen with ${vcpus} vcpus and ${memoryMb} MiB of memory`,
        { suggestion: 'Leave vcpus and memory_mb out, or say the same.' },
      );
    },
  };
}
