import { DormouseError } from '@dormouse/errors';
import { Guest } from '@dormouse/guest-link';
import type { Pin } from '@dormouse/snapshot';
import { everyStep } from '../concurrency/every-step.js';
import type { SandboxEnvironment } from '../environment.js';
import type { ReadyKind, ReadyVm } from '../pools/ready-pool.js';
import { restoreVm } from './restore.js';

/**
 * Restores a guest, waits for all its memory, runs a first command in it and makes it stand still. Nothing is left when
 * that fails.
 *
 * @throws DormouseError as `restoreVm`; `restore_failed`
 */
export async function makeReady(
  environment: SandboxEnvironment,
  kind: ReadyKind,
  signal: AbortSignal,
): Promise<ReadyVm> {
  const pin = environment.store.pin(kind.generationId);
  try {
    const started = await restoreVm(environment, { ...kind, as: 'new' }, signal);
    try {
      const loaded = await started.loading;
      if (loaded instanceof DormouseError) throw loaded;
      const guest = new Guest(started.link);
      await warm(guest);
      await guest.hold({ beforeSnapshot: false });
      return { kind, started, pin };
    } catch (error) {
      await endReady(environment, { started });
      throw error;
    }
  } catch (error) {
    pin[Symbol.dispose]();
    throw error;
  }
}

/** What the first command of most sandboxes needs. */
async function warm(guest: Guest): Promise<void> {
  const process = await guest.startProcess({ argv: ['/bin/sh', '-c', 'echo ready'], listed: false });
  for await (const _ of process.output);
  await process.exit;
}

/** Ends a guest that waits, and frees all it has. */
export async function endReady(
  { slots, layers }: SandboxEnvironment,
  { started, pin }: Pick<ReadyVm, 'started'> & { readonly pin?: Pin },
): Promise<void> {
  const { link, vm, slot, disk } = started;
  await everyStep(
    () => link.drop(new DormouseError('cancelled', 'the sandbox that waited is not needed')),
    () => vm.kill(),
    () => slots.release(slot),
    () => layers.removeTop(disk),
    () => pin?.[Symbol.dispose](),
  );
}
