import type { RestoredFrom } from '@dormouse/contracts';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import type { ProjectRecord, SandboxRecord, SaveRecord, TeamScope } from '@dormouse/store';
import type { Services } from '../context.js';
import { resumeSandbox } from '../sandboxes/resume.js';
import { firstStep, nextStep, type OpenStep, type Remains } from './decide-open.js';
import { findProject, newestMoment } from './find.js';
import { type Hold, holdProject } from './hold.js';
import { confirmedSandboxOf } from './sandbox.js';
import { settleUnfinished } from './settle-unfinished.js';
import { spawnFor } from './spawn.js';

/** A project with a sandbox that runs. */
export interface Opened {
  readonly project: ProjectRecord;
  readonly sandbox: SandboxRecord;
  readonly restoredFrom: RestoredFrom;
  /** The moment it began with, where that was one. */
  readonly snapshotId: string | null;
  /** What failed before this worked. */
  readonly restoreError: DormouseError | null;
}

/**
 * Opens a project as it was left, or as near to that as can be had: its sandbox, running or paused, else its newest
 * moment, else its template. Equal requests are one, also to several control planes. What could not be restored is
 * never deleted for that.
 *
 * @throws DormouseError `not_found` (project, or the template when that is what is left), or what the host says when
 *   nothing can be started at all
 */
export async function openProject(services: Services, team: TeamScope, nameOrId: string): Promise<Opened> {
  const { id } = await findProject(team, nameOrId);
  return services.operations.run(id, 'open', () =>
    holdProject(services, team, id, async (hold) => {
      await settleUnfinished(services, hold);
      // Whatever is still being kept, its sandbox is wanted again.
      if (hold.project.closing_generation !== null) await hold.change({ closingGeneration: null });
      return open(services, hold);
    }),
  );
}

async function open(services: Services, hold: Hold): Promise<Opened> {
  const { team } = hold;
  const sandbox = await confirmedSandboxOf(services, team, hold.project.sandbox_id);
  const moment = await newestMoment(team, hold.project);
  const remains: Remains = { sandbox: sandbox?.state, moment: moment !== undefined };
  const failures: DormouseError[] = [];
  for (let step: OpenStep = firstStep(remains); ; ) {
    try {
      const opened = await take(services, hold, step, sandbox, moment);
      return { ...opened, restoreError: summary(failures, sandbox, opened.sandbox) };
    } catch (thrown) {
      const error = fromUnknown(thrown);
      const next = nextStep(step, error.code, remains);
      if (next === undefined) throw thrown;
      services.log.warn(
        { err: error, projectId: hold.project.id, step, next },
        'a project is opened another way',
      );
      if (step === 'spawn_snapshot' && moment !== undefined) await team.projectSaves.pin(moment.id, true);
      failures.push(error);
      step = next;
    }
  }
}

async function take(
  services: Services,
  hold: Hold,
  step: OpenStep,
  sandbox: SandboxRecord | undefined,
  moment: SaveRecord | undefined,
): Promise<Omit<Opened, 'restoreError'>> {
  if (step === 'spawn_snapshot' || step === 'spawn_template') {
    const from = step === 'spawn_snapshot' ? moment : undefined;
    return adopt(hold, await spawnFor(services, hold, from?.id), from?.id ?? null);
  }
  if (sandbox === undefined) throw new DormouseError('internal', 'there is no sandbox to go on with');
  const running =
    step === 'use'
      ? sandbox
      : await resumeSandbox(services, hold.team, sandbox.id, { reboot: step === 'reboot' });
  const project = await hold.change({ opened: true });
  return { project, sandbox: running, restoredFrom: 'live', snapshotId: null };
}

/**
 * A sandbox that was made for a project is its own from now on.
 *
 * @param leaving the paused sandbox that the project had before, which is to be freed then: see `freeLeft`
 */
export async function adopt(
  hold: Hold,
  sandbox: SandboxRecord,
  snapshotId: string | null,
  leaving?: SandboxRecord,
): Promise<Omit<Opened, 'restoreError'>> {
  const project = await hold.change({
    ...(leaving === undefined ? {} : { leaving: { sandboxId: leaving.id, generation: leaving.generation } }),
    sandboxId: sandbox.id,
    nextSandboxId: null,
    opened: true,
    ...(snapshotId === null ? {} : { headId: snapshotId }),
  });
  return { project, sandbox, restoredFrom: snapshotId === null ? 'template' : 'snapshot', snapshotId };
}

/** Why a project is not where it was: the first failure; and where what could not be resumed is. */
function summary(
  failures: readonly DormouseError[],
  before: SandboxRecord | undefined,
  now: SandboxRecord,
): DormouseError | null {
  const [first] = failures;
  if (first === undefined) return null;
  if (before === undefined || before.id === now.id) return first;
  return new DormouseError(first.code, `the sandbox ${before.id} could not be resumed: ${first.message}`, {
    cause: first,
    suggestion: `It is kept, paused: POST /v1/sandboxes/${before.id}/resume tries again.`,
  });
}
