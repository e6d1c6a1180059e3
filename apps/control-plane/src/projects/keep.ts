import { randomBytes } from 'node:crypto';
import { DormouseError } from '@dormouse/errors';
import type { SandboxRecord, SaveRecord } from '@dormouse/store';
import type { Services } from '../context.js';
import { HOST_CALL_TIMEOUT_MS, hostCall } from '../host-call.js';
import { newSnapshotId } from '../random-id.js';
import { createSnapshot } from '../snapshots/create.js';
import { removeFromHost } from '../snapshots/remove.js';
import type { Hold } from './hold.js';
import type { WorkspaceSize } from './measure.js';
import { expiredMoments } from './retention.js';

/** With the digits behind it a name of at most 64 characters. */
const NAME_STEM_LENGTH = 48;
const NAME_BYTES = 6;

/** What is to be known of a moment besides itself. */
export interface MomentLabel {
  /** null: it is kept automatically. */
  readonly description: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly size: WorkspaceSize | undefined;
  /** The sandbox is paused, and goes when its moment is kept. */
  readonly closing?: boolean;
}

/**
 * Keeps the present moment of a project's sandbox: from now on the project opens there. What is being done is
 * recorded first, so that after a crash it can be finished or undone; nothing old goes before the new one is ready.
 *
 * @throws DormouseError what keeping a snapshot throws; nothing has changed then
 */
export async function keepMoment(
  services: Services,
  hold: Hold,
  sandbox: SandboxRecord,
  { description, metadata, size, closing = false }: MomentLabel,
): Promise<SaveRecord> {
  const { team, project } = hold;
  const memory = await hasMemory(services, sandbox);
  const id = newSnapshotId();
  await hold.change({ pendingSaveId: id, closingGeneration: closing ? sandbox.generation : null });
  try {
    await team.projectSaves.insert({
      id,
      projectId: project.id,
      description,
      fileCount: size?.fileCount ?? null,
      sizeBytes: size?.sizeBytes ?? null,
      metadata,
    });
    const wanted = {
      sandbox_id: sandbox.id,
      name: `${project.name.slice(0, NAME_STEM_LENGTH)}-${randomBytes(NAME_BYTES).toString('hex')}`,
      memory,
      pause: false,
      ...(description === null ? {} : { description }),
    };
    await createSnapshot(services, team, wanted, false, id);
  } catch (thrown) {
    await undo(services, hold, id);
    throw thrown;
  }
  const save = await concludeMoment(services, hold, id);
  if (save !== undefined) return save;
  throw new DormouseError('invalid_state', `the snapshot ${id} was deleted as soon as it was taken`);
}

/** Of a sandbox that was paused without its memory, or whose VM has ended, the disk is all there is to keep. */
async function hasMemory(services: Services, { id, state }: SandboxRecord): Promise<boolean> {
  if (state !== 'paused') return true;
  const { sandbox } = await hostCall(services.host.getSandbox({ id }, { timeoutMs: HOST_CALL_TIMEOUT_MS }));
  return sandbox?.diskOnly !== true;
}

/** Makes a moment that is ready the one the project opens with, and lets go of those that are too many. */
export async function concludeMoment(
  services: Services,
  hold: Hold,
  id: string,
): Promise<SaveRecord | undefined> {
  const { team } = hold;
  await hold.change({ headId: id, saved: true });
  await enforceRetention(services, hold);
  // One that is being closed is not done before its sandbox is free.
  if (hold.project.closing_generation === null) await hold.change({ pendingSaveId: null });
  return team.projectSaves.get(hold.project.id, id);
}

async function enforceRetention(services: Services, { team, project }: Hold): Promise<void> {
  const moments = await team.projectSaves.all(project.id);
  for (const id of expiredMoments(moments, project.keep_last, [project.head_id, project.restoring_id])) {
    await removeMoment(services, team, id);
  }
}

/** Deletes a moment with its snapshot; what the host cannot do now the reconciler does later. */
export async function removeMoment(services: Services, team: Hold['team'], id: string): Promise<void> {
  const deleting = await team.snapshots.beginDeleting(id);
  if (deleting !== undefined) await removeFromHost(services, id);
  await team.projectSaves.remove(id);
}

/** Where the snapshot is still on its way it is left to the repair, which sees what becomes of it. */
async function undo({ log }: Services, hold: Hold, id: string): Promise<void> {
  try {
    const state = await hold.team.projectSaves.stateOf(id);
    const undecided = state === 'creating' || state === 'ready';
    if (!undecided) await hold.team.projectSaves.remove(id);
    await hold.change({ closingGeneration: null, ...(undecided ? {} : { pendingSaveId: null }) });
  } catch (err) {
    log.warn({ err, projectId: hold.project.id, snapshotId: id }, 'giving up a moment failed');
  }
}
