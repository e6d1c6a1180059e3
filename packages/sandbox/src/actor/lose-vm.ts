import { DormouseError, fromUnknown } from '@dormouse/errors';
import type { VmExit } from '@dormouse/vmm';
import type { Disk } from '../disk/disk.js';
import { parentsOf } from '../disk/parents.js';
import {
  goingBack,
  keepingDisk,
  type PauseCause,
  paused,
  resuming,
  runningOn,
  stayingPaused,
} from '../records/journal.js';
import { captureDisk } from '../transitions/freeze.js';
import type { LiveVm } from '../vm/live-vm.js';
import { becomePaused, becomeStopped } from './become.js';
import type { Life } from './life.js';
import { memoryLost, reboot, resumeFrom } from './wake-up.js';

const LOSE_VM = 'keep the disk of a VM that has ended';
const GO_BACK = 'go back to what a sandbox was restored from';

/** Why a VM is lost, and why the sandbox is paused then. */
export interface Loss {
  readonly reason: string;
  /** Default: its VM has ended. */
  readonly cause?: PauseCause | undefined;
}

/** A VM has ended though nothing on this host has ended it. @param mayTryAgain as of `onLoadFailure` */
export async function onExit(
  life: Life,
  live: LiveVm,
  exit: VmExit,
  mayTryAgain: () => boolean,
): Promise<void> {
  if (life.live !== live || life.journal.state !== 'running') return;
  // A VM whose memory cannot come ends itself, or is ended: that is the restore's failure.
  const loaded = await live.loading;
  const wasLoading = life.journal.state === 'running' && life.journal.loading === true;
  if (loaded instanceof DormouseError && wasLoading)
    return await onLoadFailure(life, live, loaded, mayTryAgain);
  life.log.warn({ ...exit }, 'the VM ended by itself');
  await onVmEnded(life, exitReason(exit));
}

/**
 * Hazard 7: memory that was still missing will never come, so the guest cannot go on. It is restored again from the
 * generation it began with, or, when that is damaged, booted from its disk.
 *
 * @param mayTryAgain counts an attempt, and whether there is to be one more
 */
export async function onLoadFailure(
  life: Life,
  live: LiveVm,
  error: DormouseError,
  mayTryAgain: () => boolean,
): Promise<void> {
  const { memoryBase, state, loading } = life.journal;
  // What the sandbox has done since all its memory was there must not be dropped.
  if (life.live !== live || memoryBase === undefined || state !== 'running' || loading !== true) return;
  life.log.warn({ err: error }, 'the restore broke off; restoring again');
  await goBack(life, memoryBase, error, () => restoreAgain(life, error, mayTryAgain));
}

/** Brings a sandbox back to life that has gone back to what it began with. */
async function restoreAgain(life: Life, error: DormouseError, mayTryAgain: () => boolean): Promise<void> {
  const { journal } = life;
  if (journal.state !== 'paused') return;
  const { paused: moment, generation } = journal;
  const isLost = error.code === 'snapshot_corrupt';
  const isToTry = mayTryAgain();
  try {
    if (isLost ? life.failsOnMemoryLoss : !isToTry) throw error;
    if (!isLost) await life.tell('restored_again', error.message);
    await life.record(resuming(journal, generation));
    if (isLost) await reboot(life, moment.generationId, memoryLost(error.message));
    else await resumeFrom(life, moment, {});
  } catch (thrown) {
    life.log.warn({ err: fromUnknown(thrown) }, 'the sandbox stays paused');
    await life.tell('stays_paused', fromUnknown(thrown).message);
    const { journal: now } = life;
    if (now.state === 'paused' || now.state === 'resuming') await life.settle(stayingPaused(now));
  }
}

/** Its restore has broken off with an earlier agent: it is begun again once the host is open. */
export async function restoreAtStart(life: Life, generationId: string, error: DormouseError): Promise<void> {
  await goBack(life, generationId, error, () => life.tell('restored_again', error.message));
}

/** Ends the VM: the sandbox is the generation it began with, and is to run again. Then `next` runs. */
async function goBack(
  life: Life,
  generationId: string,
  error: DormouseError,
  next: () => Promise<void>,
): Promise<void> {
  await life.unfinished.insist(GO_BACK, async () => {
    const reason = `its restore broke off: ${error.message}`;
    // Written down before its VM ends: a sandbox that is found without a VM, and with nowhere to go back to, has lost
    // its memory.
    if (life.journal.purpose !== 'go-back')
      await life.record(goingBack(life.journal, { generationId, reason }));
    await life.environment.onStep?.('restore-broken');
    const { disk } = life.journal;
    await life.endVm(new DormouseError('guest_unreachable', 'the sandbox is being restored again'));
    if (disk !== undefined) await life.environment.layers.discard(disk);
    await life.settle(paused(life.journal, { generationId, kind: 'full', atMs: Date.now() }));
    await next().catch((thrown: unknown) => {
      life.log.warn({ err: fromUnknown(thrown) }, 'the sandbox stays paused');
    });
  });
}

/**
 * The VM is no more, or is given up: its memory is lost, and its disk as it is then becomes a generation to boot from.
 * Tried until it succeeds; only a disk whose content cannot be used leaves the sandbox stopped.
 */
export async function onVmEnded(life: Life, reason: string, cause: PauseCause = 'vm_ended'): Promise<void> {
  await life.unfinished.insist(LOSE_VM, () => loseVm(life, { reason, cause }));
}

async function loseVm(life: Life, { reason, cause = 'vm_ended' }: Loss): Promise<void> {
  const over = new DormouseError('invalid_state', `its VM is no more: ${reason}`);
  const { disk } = life.journal;
  if (disk === undefined) {
    await life.endVm(over);
    return await becomeStopped(life, reason);
  }
  let generationId: string;
  try {
    generationId = await keepDisk(life, disk, { reason, cause }, over);
  } catch (thrown) {
    const error = fromUnknown(thrown);
    if (!isVerdict(error)) throw thrown;
    life.log.warn({ err: error }, 'the disk of a VM that has ended cannot be used');
    await life.endVm(over);
    return await becomeStopped(life, `${reason}; its disk was not kept: ${error.message}`);
  }
  await becomePaused(life, { generationId, kind: 'disk', atMs: Date.now(), cause });
}

/** Whether an error says that the disk itself cannot be used; all others may pass. */
function isVerdict({ code }: DormouseError): boolean {
  return code === 'snapshot_corrupt' || code === 'not_found';
}

async function keepDisk(
  life: Life,
  present: Disk,
  why: { readonly reason: string; readonly cause: PauseCause },
  over: DormouseError,
): Promise<string> {
  const { environment } = life;
  const { store, onStep, layers } = environment;
  await using draft = await store.begin(parentsOf({ disk: present, memoryBase: undefined }));
  if (life.journal.state === 'snapshotting') await life.record(runningOn(life.journal));
  // Recorded before the VM is ended: an agent that dies in between finds out what was meant.
  const { spec } = life.journal;
  await life.record(keepingDisk(life.journal, present, { ...why, intent: draft.id }));
  await life.endVm(over);
  const disk = await layers.withoutUnwritten(present, life.log);
  if (disk !== present) await life.record(keepingDisk(life.journal, disk, { ...why, intent: draft.id }));
  await onStep?.('disk-begun');
  const captured = await captureDisk(environment, { spec, disk }, draft);
  await captured.commit();
  await onStep?.('committed');
  return draft.id;
}

function exitReason(exit: VmExit): string {
  if (exit.exitCode === 0) return 'the guest powered off or restarted';
  const how = exit.signal === undefined ? `exit code ${exit.exitCode ?? 'unknown'}` : exit.signal;
  return `its VM ended by itself (${how})`;
}
