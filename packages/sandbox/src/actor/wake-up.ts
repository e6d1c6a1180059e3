import { DormouseError, fromUnknown } from '@dormouse/errors';
import type { Policy } from '../config/policy.js';
import { type PausedMoment, pausedAgain, resuming } from '../records/journal.js';
import { bootFrom } from '../transitions/first-vm.js';
import { restoreVm } from '../transitions/restore.js';
import type { Life } from './life.js';

/** How to resume. */
export interface ResumeOptions {
  /** Boot from the disk even where there is memory. Default no. */
  readonly reboot?: boolean;
  /** What the host does with it by itself, from now on. Default: as it was. */
  readonly policy?: Policy | undefined;
}

/**
 * Brings a paused sandbox back to life, as it was. When it fails it stays paused.
 *
 * @throws DormouseError `invalid_state`, `snapshot_corrupt`, `snapshot_incompatible`, `restore_failed`, `boot_failed`
 */
export async function wakeUp(life: Life, generation: number, options: ResumeOptions): Promise<void> {
  const { journal } = life;
  if (journal.state !== 'paused') {
    const why = life.unfinished.what === undefined ? '' : `: it could not ${life.unfinished.what} yet`;
    throw new DormouseError(
      'invalid_state',
      `the sandbox is ${journal.state}, so it cannot be resumed${why}`,
    );
  }
  await life.record(resuming(journal, generation, options.policy));
  try {
    await resumeFrom(life, journal.paused, options);
  } catch (error) {
    if (life.journal.state === 'resuming') await life.settle(pausedAgain(life.journal));
    throw error;
  }
}

/** Brings a sandbox that is `resuming` to life from a generation. @throws DormouseError as `wakeUp` */
export async function resumeFrom(
  life: Life,
  { generationId, kind, cause }: PausedMoment,
  options: ResumeOptions,
): Promise<void> {
  if (kind === 'full' && options.reboot !== true) return await restore(life, generationId);
  if (cause !== 'vm_ended') return await reboot(life, generationId, undefined);
  const reason = memoryLost(life.journal.reason ?? 'its VM ended');
  if (life.failsOnMemoryLoss && options.reboot !== true) {
    throw new DormouseError('snapshot_corrupt', reason, {
      suggestion: 'Resume it with `reboot` to boot it from its disk.',
    });
  }
  await reboot(life, generationId, reason);
}

async function restore(life: Life, generationId: string): Promise<void> {
  const { spec, consoleLogPath, signal } = life.making;
  try {
    const request = { spec, generationId, consoleLogPath, as: 'itself' } as const;
    const started = await restoreVm(life.environment, request, signal);
    await life.begin(started, { resumedBy: 'memory', memoryBase: generationId });
    await life.environment.onStep?.('resumed');
  } catch (thrown) {
    const error = fromUnknown(thrown);
    if (error.code !== 'snapshot_corrupt' || life.failsOnMemoryLoss) throw error;
    life.log.warn({ err: error }, 'the memory is damaged; booting from the disk');
    await reboot(life, generationId, memoryLost(error.message));
  }
}

/** Boots from the disk of a generation, if that is whole. @param reason absent: on request */
export async function reboot(life: Life, generationId: string, reason: string | undefined): Promise<void> {
  await life.environment.store.verify(generationId, { diskOnly: true });
  const base = { kind: 'generation', id: generationId } as const;
  const started = await bootFrom(life.environment, life.making, base);
  await life.begin(started, { resumedBy: 'reboot', reason });
  if (reason !== undefined) await life.tell('rebooted', reason);
}

/** The reason of a sandbox that was booted though its memory was asked for. */
export function memoryLost(why: string): string {
  return `its memory was lost: ${why}`;
}
