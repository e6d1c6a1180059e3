import { DormouseError, fromUnknown, systemErrorCode } from '@dormouse/errors';
import type { MicroVm } from '@dormouse/vmm';
import { pausedAgain, runningOn, snapshotting, type VmRecord } from '../records/journal.js';
import { awaitLoaded } from '../transitions/await-loaded.js';
import { goOn, hasEnded, type LiveVm } from '../vm/live-vm.js';
import { becomePaused } from './become.js';
import { decideTakeOver, needsVm, type TakeOverFacts } from './decide-take-over.js';
import type { Life } from './life.js';
import { onVmEnded, restoreAtStart } from './lose-vm.js';

/**
 * A VM whose memory does not come any more may not answer, and can be restored: less patience than with one that has
 * nowhere to go back to.
 */
const LOADING_ATTACH_TIMEOUT_MS = 10_000;

/** What connecting to a VMM fails with when there is no VMM that answers. */
const NO_ANSWER: ReadonlySet<string> = new Set(['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE']);

/**
 * Finds the VM that the journal of an earlier agent names, and finishes or undoes what that agent was doing. Can be
 * repeated when it throws: nothing has been ended then. A VM is ended only because it does not answer, never for an
 * error of this agent.
 *
 * @throws what has kept this agent from finding out, or from recording it
 */
export async function takeOver(life: Life): Promise<void> {
  const committed = committedKind(life);
  const found: FoundVm = needsVm(life.journal, committed) ? await findVm(life) : { vm: 'ended' };
  const action = decideTakeOver(life.journal, { committed, ...found });
  switch (action.do) {
    case 'nothing':
    case 'remove':
      return;
    case 'stay-paused':
      if (life.journal.state === 'resuming') await life.settle(pausedAgain(life.journal));
      return;
    case 'become-paused': {
      const { generationId, kind, cause } = action;
      return await becomePaused(life, { generationId, kind, atMs: Date.now(), cause });
    }
    case 'go-back': {
      const error = new DormouseError('restore_failed', action.reason);
      return await restoreAtStart(life, action.generationId, error);
    }
    case 'keep-disk':
      return await onVmEnded(life, action.reason, action.cause);
    case 'run-on':
      return await runOn(life);
  }
}

/** The kind of the generation that a pause was to make, where there is one that can be read. */
function committedKind({ journal, environment }: Life): TakeOverFacts['committed'] {
  const { purpose, intent } = journal;
  if (intent === undefined || purpose === 'go-back') return undefined;
  try {
    return environment.store.read(intent).kind;
  } catch (error) {
    if (!(error instanceof DormouseError)) throw error;
    if (error.code === 'not_found' || error.code === 'snapshot_corrupt') return undefined;
    throw error;
  }
}

type FoundVm = Pick<TakeOverFacts, 'vm' | 'problem'>;

/** Attaches to the VM of a journal. @throws what says nothing about the VM */
async function findVm(life: Life): Promise<FoundVm> {
  if (life.live !== undefined) return { vm: (await hasEnded(life.live.vm)) ? 'ended' : 'answers' };
  const { vm, loading } = life.journal;
  if (vm === undefined) return { vm: 'ended' };
  try {
    const live = await attach(life, vm, loading === undefined ? undefined : LOADING_ATTACH_TIMEOUT_MS);
    if (live === undefined) return { vm: 'ended' };
    life.adopt(live);
    return { vm: 'answers' };
  } catch (error) {
    const code = systemErrorCode(error);
    const isSilent = error instanceof DormouseError || (code !== undefined && NO_ANSWER.has(code));
    if (!isSilent) throw error;
    life.log.warn({ err: fromUnknown(error) }, 'the VM does not answer; ending it');
    return { vm: 'silent', problem: fromUnknown(error).message };
  }
}

/** Takes the VM of a journal over; undefined when it has ended. */
async function attach(
  life: Life,
  recorded: VmRecord,
  patienceMs: number | undefined,
): Promise<LiveVm | undefined> {
  const { slots, driver } = life.environment;
  const slot = await slots.adopt(recorded);
  const { pid, startTicks } = recorded;
  const { consoleLog: consoleLogPath } = life.paths;
  const identity = { runDir: slot.runDir, logDir: slot.dir, consoleLogPath, pid, startTicks };
  const vm = await driver.attach(identity, patienceMs);
  if (vm === undefined) return undefined;
  // Where the journal says that all memory is there, a VM that ends has lost nothing but its life.
  const loading = life.journal.loading === undefined ? undefined : awaitLoaded(vm, slot.memoryPath);
  return { slot, vm, session: life.session(vm, undefined), loading };
}

async function runOn(life: Life): Promise<void> {
  const { live } = life;
  if (live === undefined) throw new DormouseError('internal', 'a VM that answers is not there');
  await correctDisk(life, live.vm);
  if (!(await goOn(live, 'disk', undefined, life.log))) {
    return await onVmEnded(life, 'its VM ended while the host agent was away');
  }
  const { journal } = life;
  if (journal.state === 'snapshotting' || journal.purpose === 'freeze') await life.settle(runningOn(journal));
}

/** The journal names a layer before the VM gets it: what the VM has is what counts. */
async function correctDisk(life: Life, vm: MicroVm): Promise<void> {
  const { journal } = life;
  if (journal.state !== 'snapshotting') return;
  const { disk } = journal;
  const top = life.environment.layers.layerAt(await vm.topLayer());
  const index = top === undefined ? -1 : disk.layers.indexOf(top);
  if (index < 0)
    throw new DormouseError('internal', 'the VM writes to a layer that its journal does not name');
  if (index > 0) await life.settle(snapshotting(journal, { ...disk, layers: disk.layers.slice(index) }));
}
