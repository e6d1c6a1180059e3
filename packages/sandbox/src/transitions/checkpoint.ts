import { DormouseError, fromUnknown } from '@dormouse/errors';
import type { Manifest } from '@dormouse/snapshot';
import type { MicroVm } from '@dormouse/vmm';
import type { Disk } from '../disk/disk.js';
import { parentsOf } from '../disk/parents.js';
import type { SandboxEnvironment } from '../environment.js';
import { inPhases, type PhaseRunner } from '../observation/phases.js';
import {
  type Captured,
  captureDisk,
  captureVm,
  checkFreezeRoom,
  type Freezable,
  holdGuest,
} from './freeze.js';

/** A checkpoint, and what its sandbox does about it. */
export interface CheckpointRequest extends Freezable {
  readonly kind: Manifest['kind'];
  /** Gives up what may take long. The VM runs on then. */
  readonly signal: AbortSignal;
  /** The disk is about to change; recorded before it is used. */
  readonly onDisk: (disk: Disk) => Promise<void>;
  /** The VM does not have the new layer: its disk is as it was. */
  readonly onDiskUnchanged: (disk: Disk) => Promise<void>;
  /** The VM stands still and shall go on, with an error when the checkpoint has failed. */
  readonly onStanding: (error: DormouseError | undefined) => Promise<void>;
  /** The VM does not say which layer it writes to: it must be ended, and neither layer removed. */
  readonly onLost: () => void;
  /** The moment is kept; recorded before anybody could collect it. */
  readonly onKept: (manifest: Manifest, disk: Disk) => Promise<void>;
}

/** A moment that was kept. */
export interface Checkpointed {
  readonly manifest: Manifest;
  /** How long the VM stood still, in milliseconds. */
  readonly stoppedMs: number;
}

/**
 * Keeps the present moment of a running VM, which stands still while devices and memory are captured, and goes on with
 * a new disk layer. What it takes to make the moment durable happens while it runs.
 *
 * When this fails after the layer was changed the disk has one layer more, which the next generation takes along.
 *
 * @throws DormouseError `no_space`, `pause_failed`, `guest_unreachable`
 */
export function checkpoint(
  environment: SandboxEnvironment,
  request: CheckpointRequest,
): Promise<Checkpointed> {
  return inPhases(environment, 'checkpoint', (phase) => keepMoment(environment, request, phase));
}

async function keepMoment(
  environment: SandboxEnvironment,
  request: CheckpointRequest,
  phase: PhaseRunner<'checkpoint'>,
): Promise<Checkpointed> {
  const { store, layers, config, onStep } = environment;
  const { spec, vm, guest, slot, disk, kind } = request;
  await using draft = await phase('prepare', async () => {
    await checkFreezeRoom(config.dataDir, slot.memoryPath);
    return await store.begin(parentsOf(request));
  });
  const next = await layers.onTop(disk, spec.diskBytes, slot.user);
  const nextPath = layers.path(next.layers[0]!);
  let pushed: 'no' | 'yes' | 'unclear' = 'no';
  let captured: Captured;
  let stoppedAtMs = performance.now();
  try {
    await request.onDisk(next);
    await onStep?.('freeze-begun');
    await phase('hold', () => holdGuest(environment, guest, kind));
    await onStep?.('held');
    stoppedAtMs = performance.now();
    const devices = await phase('freeze', () => vm.freeze());
    await onStep?.('frozen');
    pushed = 'unclear';
    await vm.pushLayer(nextPath).catch((thrown: unknown) => {
      const cause = fromUnknown(thrown);
      throw new DormouseError('pause_failed', `the VM did not take a new disk layer: ${cause.message}`, {
        cause,
      });
    });
    pushed = 'yes';
    await onStep?.('layer-pushed');
    captured = await phase('capture', () =>
      kind === 'full'
        ? captureVm(environment, request, draft, devices, request.signal)
        : captureDisk(environment, request, draft),
    );
    await onStep?.('captured');
  } catch (thrown) {
    const error = fromUnknown(thrown);
    // A push that has failed may have happened all the same: the VM knows which layer it writes to.
    if (pushed === 'unclear') pushed = await isTop(vm, nextPath);
    if (pushed === 'unclear') {
      request.onLost();
      throw error;
    }
    await request.onStanding(error);
    if (pushed === 'no') {
      await request.onDiskUnchanged(disk);
      await layers.removeTop(next);
    }
    throw error;
  }
  await phase('wake', () => request.onStanding(undefined));
  const stoppedMs = performance.now() - stoppedAtMs;
  const onCommitted = async (committed: Manifest): Promise<void> => {
    await onStep?.('committed');
    const base = { kind: 'generation', id: committed.id } as const;
    await request.onKept(committed, { layers: next.layers.slice(0, 1), base });
  };
  const manifest = await phase('commit', () => captured.commit({ onCommitted }));
  return { manifest, stoppedMs };
}

/** Whether a VM writes to a layer. */
async function isTop(vm: MicroVm, path: string): Promise<'no' | 'yes' | 'unclear'> {
  try {
    return (await vm.topLayer()) === path ? 'yes' : 'no';
  } catch {
    return 'unclear';
  }
}
