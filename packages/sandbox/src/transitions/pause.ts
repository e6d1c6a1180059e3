import { type DormouseError, fromUnknown } from '@dormouse/errors';
import type { Manifest } from '@dormouse/snapshot';
import { parentsOf } from '../disk/parents.js';
import type { SandboxEnvironment } from '../environment.js';
import type { PhaseRunner } from '../observation/phases.js';
import { captureDisk, captureVm, checkFreezeRoom, type Freezable, holdGuest } from './freeze.js';

/** A pause, and what its sandbox does about it. */
export interface PauseRequest extends Freezable {
  readonly kind: Manifest['kind'];
  /** Gives up what may take long. The VM runs on then. */
  readonly signal: AbortSignal;
  /** The generation that is to come; recorded before anything stands still. */
  readonly onBegun: (generationId: string) => Promise<void>;
  /** The VM may stand still and must run on. */
  readonly onFailed: (error: DormouseError) => Promise<void>;
}

/**
 * Freezes a VM into a generation. When this answers, everything of the sandbox is durable and the VM stands still; it
 * must not run on. When it throws, the VM runs on, or has ended.
 *
 * @throws DormouseError `no_space`, `pause_failed`, `guest_unreachable`
 */
export async function pauseVm(
  environment: SandboxEnvironment,
  request: PauseRequest,
  phase: PhaseRunner<'pause'>,
): Promise<{ readonly generationId: string }> {
  const { store, config, onStep } = environment;
  const { vm, guest, slot, kind } = request;
  await using draft = await phase('prepare', async () => {
    await checkFreezeRoom(config.dataDir, slot.memoryPath);
    return await store.begin(parentsOf(request));
  });
  let isCommitted = false;
  const onCommitted = async (): Promise<void> => {
    isCommitted = true;
  };
  try {
    await request.onBegun(draft.id);
    await onStep?.('freeze-begun');
    await phase('hold', () => holdGuest(environment, guest, kind));
    await onStep?.('held');
    const devices = await phase('freeze', () => vm.freeze());
    await onStep?.('frozen');
    const captured = await phase('capture', () =>
      kind === 'full'
        ? captureVm(environment, request, draft, devices, request.signal)
        : captureDisk(environment, request, draft),
    );
    await onStep?.('captured');
    await phase('commit', () => captured.commit({ onCommitted }));
  } catch (thrown) {
    const error = fromUnknown(thrown);
    if (isCommitted) {
      environment.log.warn({ err: error }, 'a pause goes forward: its generation is durable');
      return { generationId: draft.id };
    }
    // The store removes the rest of a draft when it opens.
    await draft.abandon().catch((problem: unknown) => {
      environment.log.warn(
        { err: fromUnknown(problem) },
        'could not remove a generation that was not finished',
      );
    });
    await request.onFailed(error);
    throw error;
  }
  await onStep?.('committed');
  return { generationId: draft.id };
}
