import { type DormouseError, fromUnknown } from '@dormouse/errors';
import type { Manifest } from '@dormouse/snapshot';
import type { SandboxEnvironment } from './environment.js';
import { captureDisk, captureVm, checkFreezeRoom, type Freezable, holdGuest } from './freeze.js';
import { parentsOf } from './parents.js';

/** A pause, and what its sandbox does about it. */
export interface PauseRequest extends Freezable {
  readonly kind: Manifest['kind'];
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
): Promise<{ readonly generationId: string }> {
  const { store, config, onStep } = environment;
  const { vm, guest, slot, kind } = request;
  await checkFreezeRoom(config.dataDir, slot.memoryPath);
  await using draft = await store.begin(parentsOf(request));
  try {
    await request.onBegun(draft.id);
    await onStep?.('freeze-begun');
    await holdGuest(environment, guest, kind);
    await onStep?.('held');
    const devices = await vm.freeze();
    await onStep?.('frozen');
    const captured =
      kind === 'full'
        ? await captureVm(environment, request, draft, devices)
        : await captureDisk(environment, request, draft);
    await onStep?.('captured');
    await captured.commit();
  } catch (thrown) {
    const error = fromUnknown(thrown);
    await draft.abandon();
    await request.onFailed(error);
    throw error;
  }
  await onStep?.('committed');
  return { generationId: draft.id };
}
