import { DormouseError, fromUnknown } from '@dormouse/errors';
import type { Manifest } from '@dormouse/snapshot';
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
  /** The disk has changed, or is about to; recorded before it is used. */
  readonly onDisk: (disk: Disk) => Promise<void>;
  /** The VM stands still and shall go on, with an error when the checkpoint has failed. False: it has ended. */
  readonly onStanding: (error: DormouseError | undefined) => Promise<boolean>;
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
 * When this fails after the layer was changed the disk has one layer more, which the next moment takes along.
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
  let isPushed = false;
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
    await vm.pushLayer(layers.path(next.layers[0]!)).catch((thrown: unknown) => {
      const cause = fromUnknown(thrown);
      throw new DormouseError('pause_failed', `the VM did not take a new disk layer: ${cause.message}`, {
        cause,
      });
    });
    isPushed = true;
    await onStep?.('layer-pushed');
    captured = await phase('capture', () =>
      kind === 'full'
        ? captureVm(environment, request, draft, devices)
        : captureDisk(environment, request, draft),
    );
    await onStep?.('captured');
  } catch (thrown) {
    const error = fromUnknown(thrown);
    await request.onStanding(error);
    if (!isPushed) {
      await request.onDisk(disk);
      await layers.remove(next.layers.slice(0, 1));
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
