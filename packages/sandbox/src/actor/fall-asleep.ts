import { DormouseError, fromUnknown } from '@dormouse/errors';
import type { Manifest } from '@dormouse/snapshot';
import { inPhases } from '../observation/phases.js';
import type { PauseCause } from '../records/journal.js';
import { type Checkpointed, checkpoint } from '../transitions/checkpoint.js';
import type { Freezable } from '../transitions/freeze.js';
import { pauseVm } from '../transitions/pause.js';
import { goOn, type LiveVm } from '../vm/live-vm.js';
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
  const live = await readyToFreeze(life, 'paused');
  await inPhases(life.environment, 'pause', async (phase) => {
    const request = {
      ...(await freezable(life, live)),
      kind,
      onBegun: (intent: string) =>
        life.record({ state: 'pausing', loading: undefined, intent, intentCause: cause }),
      onFailed: (error: DormouseError) => runOn(life, live, kind, error),
    };
    const paused = await pauseVm(life.environment, request, phase);
    // There is a new moment now, and the VM must not write to its disk any more: from here it only goes forward.
    await phase('free', () => becomePaused(life, { ...paused, kind, atMs: Date.now(), cause }));
  });
}

/**
 * Keeps the present moment, and goes on as it was. That of a paused sandbox is kept already.
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
  const live = await readyToFreeze(life, 'kept');
  await life.record({ state: 'snapshotting', loading: undefined });
  let done: Checkpointed;
  try {
    done = await checkpoint(life.environment, {
      ...(await freezable(life, live)),
      kind,
      onDisk: (disk) => life.record({ disk }),
      onStanding: (error) => goOn(live, kind, error, life.log),
      onKept: async ({ id }, disk) => {
        const memoryBase = kind === 'full' ? id : life.journal.memoryBase;
        await life.record({ state: 'running', disk, memoryBase });
      },
    });
  } catch (thrown) {
    const error = fromUnknown(thrown);
    if (life.journal.state === 'snapshotting') await life.record({ state: 'running' });
    throw error;
  }
  const { manifest, stoppedMs } = done;
  life.log.info({ stoppedMs: Math.round(stoppedMs) }, 'kept a moment');
  return manifest;
}

/** The VM, once all its memory is there. @throws DormouseError `invalid_state` */
async function readyToFreeze({ live, journal }: Life, what: string): Promise<LiveVm> {
  if (journal.state !== 'running' || live === undefined) {
    throw new DormouseError('invalid_state', `the sandbox is ${journal.state}, so it cannot be ${what}`);
  }
  const result = await live.loading;
  if (!(result instanceof DormouseError)) return live;
  throw new DormouseError('pause_failed', `the sandbox is being restored again: ${result.message}`);
}

async function freezable({ journal }: Life, live: LiveVm): Promise<Freezable> {
  const { spec, disk, memoryBase } = journal;
  if (disk === undefined) throw new DormouseError('internal', 'a running sandbox has no disk');
  const guest = await live.session.guest();
  return { spec, vm: live.vm, slot: live.slot, guest, disk, memoryBase };
}

/** A pause has failed: the VM runs on, if there still is one. */
async function runOn(life: Life, live: LiveVm, kind: Manifest['kind'], error: DormouseError): Promise<void> {
  if (await goOn(live, kind, error, life.log)) {
    await life.record({ state: 'running', intent: undefined, intentCause: undefined });
    return;
  }
  await onVmEnded(life, `its VM ended while it was being paused: ${error.message}`);
}
