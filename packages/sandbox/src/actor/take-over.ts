import { DormouseError, fromUnknown } from '@dormouse/errors';
import type { MicroVm } from '@dormouse/vmm';
import type { Journal } from '../records/journal.js';
import { awaitLoaded } from '../transitions/await-loaded.js';
import { goOn, type LiveVm } from '../vm/live-vm.js';
import { becomePaused } from './become.js';
import type { Life } from './life.js';
import { onVmEnded, restoreAtStart } from './lose-vm.js';

/**
 * A VM whose memory does not come any more may answer nobody, and can be restored: less patience than with one that
 * has nowhere to go back to.
 */
const LOADING_ATTACH_TIMEOUT_MS = 10_000;

/** Finds the VM that the journal of an earlier agent names, and finishes or undoes what that one was at. */
export async function takeOver(life: Life): Promise<void> {
  try {
    await reattach(life);
  } catch (thrown) {
    const error = fromUnknown(thrown);
    life.log.warn({ err: error }, 'the VM does not answer; ending it');
    await onVmEnded(life, `its VM no longer answered: ${error.message}`);
  }
}

async function reattach(life: Life): Promise<void> {
  const { store } = life.environment;
  const { state, vm: recorded, intent, intentCause: cause, memoryBase, loading } = life.journal;
  if (state === 'resuming') return await life.record({ state: 'paused' });
  if (state === 'pausing' && intent !== undefined) {
    if (intent === memoryBase) {
      return await restoreAtStart(life, intent, new DormouseError('restore_failed', 'the host agent ended'));
    }
    if ((await store.list()).includes(intent)) {
      const { kind } = store.read(intent);
      return await becomePaused(life, { generationId: intent, kind, atMs: Date.now(), cause });
    }
  }
  if (recorded === undefined) {
    const { reason = 'it had no VM' } = life.journal;
    return await onVmEnded(life, reason, cause);
  }
  const live = await attach(life, recorded).catch((error: unknown) => {
    if (loading === undefined) throw error;
    life.log.warn({ err: fromUnknown(error) }, 'the VM does not answer; its memory was still to come');
  });
  if (live === undefined) {
    const error = new DormouseError('restore_failed', 'its VM ended while the host agent was away');
    if (loading === undefined || memoryBase === undefined) return await onVmEnded(life, error.message);
    return await restoreAtStart(life, memoryBase, error);
  }
  if (state === 'pausing' || state === 'snapshotting') {
    await correctDisk(life, live.vm);
    await goOn(live, 'disk', undefined, life.log);
    await life.record({ state: 'running', intent: undefined, intentCause: undefined });
  }
}

/** Takes the VM of a journal over; undefined when it has ended. */
async function attach(life: Life, recorded: NonNullable<Journal['vm']>): Promise<LiveVm | undefined> {
  const { slots, driver } = life.environment;
  const slot = await slots.adopt(recorded);
  const { pid, startTicks } = recorded;
  const { consoleLog: consoleLogPath } = life.paths;
  const identity = { runDir: slot.runDir, logDir: slot.dir, consoleLogPath, pid, startTicks };
  const patienceMs = life.journal.loading === undefined ? undefined : LOADING_ATTACH_TIMEOUT_MS;
  const vm = await driver.attach(identity, patienceMs);
  if (vm === undefined) return undefined;
  const live = { slot, vm, session: life.session(vm, undefined), loading: awaitLoaded(vm) };
  life.adopt(live);
  return live;
}

/** The journal names a layer before the VM gets it: what the VM has is what counts. */
async function correctDisk(life: Life, vm: MicroVm): Promise<void> {
  const { disk } = life.journal;
  const top = life.environment.layers.layerAt(await vm.topLayer());
  if (disk === undefined || top === undefined || disk.layers[0] === top) return;
  await life.record({ disk: { ...disk, layers: disk.layers.slice(disk.layers.indexOf(top)) } });
}
