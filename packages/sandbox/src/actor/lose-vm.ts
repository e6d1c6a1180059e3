import { DormouseError, fromUnknown } from '@dormouse/errors';
import type { VmExit } from '@dormouse/vmm';
import type { Disk } from '../disk/disk.js';
import { parentsOf } from '../disk/parents.js';
import type { Journal, PauseCause, PausedMoment } from '../records/journal.js';
import { captureDisk } from '../transitions/freeze.js';
import type { LiveVm } from '../vm/live-vm.js';
import { becomePaused, becomeStopped } from './become.js';
import { type Life, NO_VM } from './life.js';
import { memoryLost, reboot, resumeFrom } from './wake-up.js';

/** A VM has ended though nobody here has ended it. @param mayTryAgain as of `onLoadFailure` */
export async function onExit(
  life: Life,
  live: LiveVm,
  exit: VmExit,
  mayTryAgain: () => boolean,
): Promise<void> {
  if (life.live !== live || life.journal.state !== 'running') return;
  // A VM whose memory cannot come ends itself, or is ended: that is the restore's failure.
  const loaded = await live.loading;
  if (loaded instanceof DormouseError) return await onLoadFailure(life, live, loaded, mayTryAgain);
  await onVmEnded(life, exitReason(exit));
  life.log.warn({ ...exit }, 'the VM ended by itself');
}

/**
 * Hazard 7: memory that was still missing will never come, so the guest cannot go on. It is restored again from the
 * moment it began with, or, when that is damaged, booted from its disk.
 *
 * @param mayTryAgain counts an attempt, and whether there is to be one more
 */
export async function onLoadFailure(
  life: Life,
  live: LiveVm,
  error: DormouseError,
  mayTryAgain: () => boolean,
): Promise<void> {
  const { memoryBase, state, generation } = life.journal;
  if (life.live !== live || memoryBase === undefined || state !== 'running') return;
  life.log.warn({ err: error }, 'the restore broke off; restoring again');
  const moment = await goBackTo(life, memoryBase, error);
  const isLost = error.code === 'snapshot_corrupt';
  const isToTry = mayTryAgain();
  try {
    if (isLost ? life.failsOnMemoryLoss : !isToTry) throw error;
    if (!isLost) await life.tell('restored_again', error.message);
    await life.record({ state: 'resuming', generation });
    if (isLost) await reboot(life, memoryBase, memoryLost(error.message));
    else await resumeFrom(life, moment, {});
  } catch (thrown) {
    life.log.warn({ err: fromUnknown(thrown) }, 'the sandbox stays paused');
    await life.tell('stays_paused', fromUnknown(thrown).message);
    await life.record({ state: 'paused', resumeAtStart: undefined });
  }
}

/** Its restore has broken off with an earlier agent: it is begun again once the host is open. */
export async function restoreAtStart(life: Life, generationId: string, error: DormouseError): Promise<void> {
  await goBackTo(life, generationId, error);
  await life.tell('restored_again', error.message);
}

/** Ends the VM: the sandbox is where it began, and is to run again. */
async function goBackTo(life: Life, generationId: string, error: DormouseError): Promise<PausedMoment> {
  // Written down before its VM ends: what is found without one, and with nowhere to go back to, has lost its memory.
  await life.record({ state: 'pausing', intent: generationId });
  await life.environment.onStep?.('restore-broken');
  await life.endVm(new DormouseError('guest_unreachable', 'the sandbox is being restored again'));
  await life.dropDisk();
  const paused: PausedMoment = { generationId, kind: 'full', atMs: Date.now() };
  const reason = `its restore broke off: ${error.message}`;
  await life.record({ state: 'paused', ...NO_VM, paused, resumeAtStart: true, reason });
  return paused;
}

/**
 * Its VM is no more: its memory is lost, and its disk as it was then is a moment to boot from. Only where that cannot
 * be kept it has stopped for good.
 *
 * @param cause why it is paused then
 */
export async function onVmEnded(life: Life, reason: string, cause: PauseCause = 'vm_ended'): Promise<void> {
  await life.endVm(new DormouseError('invalid_state', `its VM is no more: ${reason}`));
  const { disk } = life.journal;
  if (disk === undefined) return await becomeStopped(life, reason);
  let generationId: string;
  try {
    generationId = await keepDisk(life, disk, { reason, intentCause: cause });
  } catch (thrown) {
    const error = fromUnknown(thrown);
    life.log.warn({ err: error }, 'the disk of a VM that has ended was not kept');
    return await becomeStopped(life, `${reason}; its disk was not kept: ${error.message}`);
  }
  await becomePaused(life, { generationId, kind: 'disk', atMs: Date.now(), cause });
}

async function keepDisk(
  life: Life,
  disk: Disk,
  why: Pick<Journal, 'reason' | 'intentCause'>,
): Promise<string> {
  const { store, onStep } = life.environment;
  await using draft = await store.begin(parentsOf({ disk, memoryBase: undefined }));
  if (life.journal.state === 'snapshotting') await life.record({ state: 'running' });
  await life.record({
    state: 'pausing',
    intent: draft.id,
    loading: undefined,
    memoryBase: undefined,
    ...why,
  });
  await onStep?.('disk-begun');
  const captured = await captureDisk(life.environment, { spec: life.journal.spec, disk }, draft);
  await captured.commit();
  await onStep?.('committed');
  return draft.id;
}

function exitReason(exit: VmExit): string {
  if (exit.exitCode === 0) return 'the guest powered off or restarted';
  const how = exit.signal === undefined ? `exit code ${exit.exitCode ?? 'unknown'}` : exit.signal;
  return `its VM ended by itself (${how})`;
}
