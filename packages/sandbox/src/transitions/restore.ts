import { join } from 'node:path';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import { Guest } from '@dormouse/guest-link';
import type { MemoryServer, Served } from '@dormouse/page-server';
import type { MicroVm } from '@dormouse/vmm';
import { everyStep, UndoList } from '../concurrency/every-step.js';
import type { SandboxSpec } from '../config/sandbox-spec.js';
import type { Disk } from '../disk/disk.js';
import type { SandboxEnvironment } from '../environment.js';
import { inPhases, type PhaseRunner } from '../observation/phases.js';
import type { Standby } from '../pools/standby-pool.js';
import { wakeAgain, wakeNew } from '../vm/identity.js';
import type { StartedVm } from '../vm/live-vm.js';
import { assertSameMachine } from '../vm/machine.js';
import { greetGuest } from './boot.js';

/** A restored guest answers within half a second; the bound is for a host that swaps. */
const GREET_TIMEOUT_MS = 60_000;
/** A page server notices at once that its VM has ended, unless it hangs. */
const PAGE_SERVER_PATIENCE_MS = 5_000;

/** What to restore. */
export interface RestoreRequest {
  readonly spec: SandboxSpec;
  readonly generationId: string;
  /** Default: beside the VM's own log, until it is moved. */
  readonly consoleLogPath?: string;
  /** Whether it becomes a sandbox of its own, or goes on as the one it was. */
  readonly as: 'new' | 'itself';
}

/**
 * Restores a guest from a generation, lazily: it runs as soon as its devices and its working set are there. No program
 * of it runs before it has clock, randomness and identity. Nothing is left when it fails, and the generation is as it
 * was.
 *
 * @throws DormouseError `snapshot_corrupt`, `snapshot_incompatible`, `restore_failed`, `no_capacity`, `cancelled`
 */
export function restoreVm(
  environment: SandboxEnvironment,
  request: RestoreRequest,
  signal: AbortSignal,
): Promise<StartedVm> {
  return inPhases(environment, 'restore', (phase) => prepareAndRun(environment, request, signal, phase));
}

async function prepareAndRun(
  environment: SandboxEnvironment,
  request: RestoreRequest,
  signal: AbortSignal,
  phase: PhaseRunner<'restore'>,
): Promise<StartedVm> {
  const { store, layers, pageServers, standbyPool, log, onStep } = environment;
  const { generationId, spec } = request;
  using _pin = store.pin(generationId);
  await onStep?.('resume-begun');
  // Verifying and preparing do not need each other; the first failure counts, and whatever has come is given back.
  const verifying = store
    .verify(generationId)
    .then((manifest) => assertSameMachine(environment, manifest, spec));
  verifying.catch(() => {});
  // The VM first: its guest must not run on when the page server lets go of it.
  const undo = new UndoList();
  try {
    const parts = await phase('prepare', async () => {
      const standby = await standbyPool.take(spec, signal);
      undo.add(() => endStandby(environment, standby));
      // Both have come, or failed, before anything is given back: what comes late would have no owner.
      const [disk, server] = await allSettled(
        layers.onBase({ kind: 'generation', id: generationId }, standby.slot.user).then((made) => {
          undo.add(() => layers.removeTop(made));
          return made;
        }),
        pageServers.acquire().then((acquired) => {
          undo.add(() => pageServers.release(acquired));
          return acquired;
        }),
      );
      await verifying;
      return { standby, disk, server };
    });
    await onStep?.('standby-ready');
    return await run(environment, request, parts, signal, phase);
  } catch (thrown) {
    await undo.run((problem) =>
      log.warn({ err: fromUnknown(problem) }, 'could not free all that a failed restore has held'),
    );
    void standbyPool.refill();
    // What is wrong with the generation explains whatever else has failed.
    const error = fromUnknown(
      await verifying.then(
        () => thrown,
        (reason: unknown) => reason,
      ),
    );
    if (signal.aborted) throw new DormouseError('cancelled', 'the restore was cancelled', { cause: error });
    if (error.code !== 'boot_failed' && error.code !== 'guest_unreachable') throw error;
    throw new DormouseError('restore_failed', `the sandbox was not restored: ${error.message}`, {
      cause: error,
    });
  }
}

interface Parts {
  readonly standby: Standby;
  readonly disk: Disk;
  readonly server: MemoryServer;
}

async function run(
  environment: SandboxEnvironment,
  request: RestoreRequest,
  { standby, disk, server }: Parts,
  signal: AbortSignal,
  phase: PhaseRunner<'restore'>,
): Promise<StartedVm> {
  const { store, layers, onStep } = environment;
  const { generationId, spec, as } = request;
  const { slot } = standby;
  const { consoleLogPath = join(slot.dir, 'console.log') } = request;
  const socketPath = join(slot.runDir, 'incoming.sock');
  const diskPath = layers.path(disk.layers[0]!);
  const vm = await phase('start', () => standby.vm.restore({ diskPath, consoleLogPath }, socketPath));
  await onStep?.('listening');
  const serving = server.serve({ root: store.root, generationId, socketPath });
  const ended = vm.exited.then(() => {
    throw new DormouseError('restore_failed', 'the VM ended while it was being restored');
  });
  ended.catch(() => {});
  endWithVm(vm, server, serving.loaded);
  using aborted = abortion(signal);
  await phase('load', () => Promise.race([serving.running, ended, aborted.never]));
  const filling = phase('fill', () => serving.loaded);
  filling.catch(() => {});
  await onStep?.('running');
  const link = await phase('greet', () => {
    const greeting = greetGuest(vm, GREET_TIMEOUT_MS, signal);
    // A page that cannot be had makes the guest stand still, which the greeting alone would notice late.
    return Promise.race([greeting, serving.loaded.then(() => greeting), ended]);
  });
  try {
    const guest = new Guest(link);
    await phase('wake', () =>
      Promise.race([
        as === 'new' ? wakeNew(guest, spec, environment.log) : wakeAgain(guest),
        failure(serving.loaded),
      ]),
    );
    await onStep?.('awake');
  } catch (error) {
    link.drop(fromUnknown(error));
    throw error;
  }
  const loading = filling.then(
    (served) => afterwards(environment, generationId, server, served),
    (error: unknown) => {
      void vm.exited.then(() => environment.pageServers.release(server));
      return fromUnknown(error);
    },
  );
  return { slot, vm, link, disk, loading };
}

/** A page server whose VM has ended has nothing to serve. One that does not notice is ended. */
function endWithVm(vm: MicroVm, server: MemoryServer, loaded: Promise<unknown>): void {
  const settled = loaded.then(
    () => {},
    () => {},
  );
  void vm.exited.then(async () => {
    const late = setTimeout(() => void server.kill(), PAGE_SERVER_PATIENCE_MS);
    await settled;
    clearTimeout(late);
  });
}

/** `never` rejects when the signal fires, and never resolves. */
function abortion(signal: AbortSignal): Disposable & { readonly never: Promise<never> } {
  let onAbort = (): void => {};
  const never = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(new DormouseError('cancelled', 'the restore was cancelled'));
  });
  never.catch(() => {});
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  return { never, [Symbol.dispose]: () => signal.removeEventListener('abort', onAbort) };
}

/** Waits for both, and throws the first error only then. */
async function allSettled<A, B>(a: Promise<A>, b: Promise<B>): Promise<readonly [A, B]> {
  await Promise.allSettled([a, b]);
  return [await a, await b];
}

/** Rejects when the other does; never resolves. */
function failure(promise: Promise<unknown>): Promise<never> {
  return promise.then(() => new Promise<never>(() => {}));
}

/** All memory is there: the page server is free, and what it has learnt helps the next restore. */
async function afterwards(
  environment: SandboxEnvironment,
  generationId: string,
  server: MemoryServer,
  served: Served,
): Promise<Served> {
  const { store, pageServers, standbyPool, log } = environment;
  await pageServers.release(server);
  environment.observer?.served(served);
  const { workingSet, workingSetProblem, ...figures } = served;
  log.info({ generationId, ...figures, learnt: workingSet?.length }, 'all memory is there');
  try {
    if (workingSet !== undefined) await store.replaceWorkingSet(generationId, workingSet);
    if (workingSetProblem !== undefined) log.warn({ generationId }, workingSetProblem);
  } catch (error) {
    // The generation may have been collected meanwhile, and a working set only saves time.
    log.warn({ generationId, err: fromUnknown(error) }, 'the working set was not recorded');
  }
  void standbyPool.refill();
  return served;
}

function endStandby({ slots }: SandboxEnvironment, { vm, slot }: Standby): Promise<void> {
  return everyStep(
    () => vm.kill(),
    () => slots.release(slot),
  );
}
