import { DormouseError, fromUnknown } from '@dormouse/errors';
import type { Manifest } from '@dormouse/snapshot';
import { inPhases } from '../observation/phases.js';
import {
  freezing,
  isLive,
  loaded,
  type PauseCause,
  type RunningJournal,
  runningOn,
  snapshotting,
} from '../records/journal.js';
import { type Checkpointed, checkpoint } from '../transitions/checkpoint.js';
import type { Freezable } from '../transitions/freeze.js';
import { pauseVm } from '../transitions/pause.js';
import { goOn, hasEnded, type LiveVm } from '../vm/live-vm.js';
import { becomePaused } from './become.js';
import type { Life } from './life.js';
import { onVmEnded } from './lose-vm.js';

/**
 * Freezes a running sandbox and frees its process and memory. One that is paused stays as it is.
 *
 * @throws DormouseError `invalid_state`, or as `pauseVm`: it runs on then, or its VM has ended
 */
export async function fallAsleep(
  life: Life,
  kind: Manifest['kind'],
  cause: PauseCause | undefined,
): Promise<void> {
  if (life.journal.state === 'paused') return;
  const { live, journal } = await readyToFreeze(life, 'paused');
  await inPhases(life.environment, 'pause', async (phase) => {
    const request = {
      ...(await freezable(journal, live)),
      kind,
      signal: life.abandoned,
      onBegun: (intent: string) => life.record(freezing(journal, intent, cause)),
      onFailed: (error: DormouseError) => runOn(life, live, kind, error),
    };
    const { generationId } = await pauseVm(life.environment, request, phase);
    // There is a new generation now, and the VM must not write to its disk any more: from here it only goes forward.
    await phase('free', () => becomePaused(life, { generationId, kind, atMs: Date.now(), cause }));
  });
}

/**
 * Makes a generation of the sandbox as it is, and goes on. A paused sandbox has one already.
 *
 * @throws DormouseError `invalid_state`, or as `checkpoint`
 */
export async function keepMoment(life: Life, kind: Manifest['kind']): Promise<Manifest> {
  const { state, paused } = life.journal;
  if (state === 'paused' && paused !== undefined) {
    if (kind === 'full' && paused.kind === 'disk') {
      throw new DormouseError('invalid_state', 'the sandbox was paused without its memory', {
        suggestion: 'Resume it first, or keep its disk only.',
      });
    }
    return life.environment.store.read(paused.generationId);
  }
  const { live, journal } = await readyToFreeze(life, 'kept');
  await life.record(snapshotting(journal));
  let done: Checkpointed;
  let isLost = false;
  try {
    done = await checkpoint(life.environment, {
      ...(await freezable(journal, live)),
      kind,
      signal: life.abandoned,
      onDisk: (disk) => life.record(snapshotting(journal, disk)),
      onDiskUnchanged: (disk) => life.settle(snapshotting(journal, disk)),
      onStanding: async (error) => {
        isLost = !(await goOn(live, kind, error, life.log));
      },
      onLost: () => {
        isLost = true;
      },
      onKept: async ({ id }, disk) => {
        await life.record(runningOn(journal, kind === 'full' ? { disk, memoryBase: id } : { disk }));
      },
    });
  } catch (thrown) {
    await afterFailure(life, live, isLost, fromUnknown(thrown));
    throw thrown;
  }
  const { manifest, stoppedMs } = done;
  if (life.journal.state === 'snapshotting') await life.settle(runningOn(life.journal));
  life.log.info({ stoppedMs: Math.round(stoppedMs) }, 'kept a generation');
  return manifest;
}

/** A checkpoint has failed: the sandbox runs on with the disk it has now, unless the VM does not answer any more. */
async function afterFailure(
  life: Life,
  { vm }: LiveVm,
  isLost: boolean,
  error: DormouseError,
): Promise<void> {
  if (life.journal.state !== 'snapshotting') return;
  await life.settle(runningOn(life.journal));
  // The end of a VM has a turn of its own, which knows how it ended.
  if (!isLost || (await hasEnded(vm))) return;
  await onVmEnded(life, `its VM no longer answered: ${error.message}`);
}

interface Ready {
  readonly live: LiveVm;
  readonly journal: RunningJournal;
}

/** The VM, once all its memory is there. @throws DormouseError `invalid_state` */
async function readyToFreeze(life: Life, what: string): Promise<Ready> {
  const { live } = life;
  if (life.journal.state !== 'running' || live === undefined) {
    const why = life.unfinished.what === undefined ? '' : `: it could not ${life.unfinished.what} yet`;
    throw new DormouseError(
      'invalid_state',
      `the sandbox is ${life.journal.state}, so it cannot be ${what}${why}`,
    );
  }
  const result = await live.loading;
  if (result instanceof DormouseError)
    throw new DormouseError('pause_failed', `the sandbox is being restored again: ${result.message}`);
  return { live, journal: loaded(life.journal) };
}

async function freezable({ spec, disk, memoryBase }: RunningJournal, live: LiveVm): Promise<Freezable> {
  const guest = await live.session.guest();
  return { spec, vm: live.vm, slot: live.slot, guest, disk, memoryBase };
}

/** A pause has failed: the VM runs on, if there still is one. */
async function runOn(life: Life, live: LiveVm, kind: Manifest['kind'], error: DormouseError): Promise<void> {
  if (await goOn(live, kind, error, life.log)) {
    if (isLive(life.journal)) await life.settle(runningOn(life.journal));
    return;
  }
  await onVmEnded(life, `its VM ended while it was being paused: ${error.message}`);
}
