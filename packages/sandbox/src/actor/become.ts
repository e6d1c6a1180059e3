import { DormouseError } from '@dormouse/errors';
import type { HostEventKind } from '../records/host-events.js';
import { type PauseCause, type PausedMoment, paused, stopped } from '../records/journal.js';
import type { Life } from './life.js';

/**
 * The generation is durable: the sandbox is that generation, and its VM goes. From here the pause only goes forward;
 * what fails is tried again until it succeeds.
 */
export async function becomePaused(life: Life, moment: PausedMoment): Promise<void> {
  const { onStep, layers } = life.environment;
  const { vm: place, disk } = life.journal;
  // Emitted first: an event that is emitted twice, before a crash and after it, counts once.
  await tellPaused(life, moment);
  await life.settle(paused(life.journal, moment));
  await onStep?.('recorded');
  const over = 'the sandbox was paused; what ran in it goes on when it is resumed';
  await life.unfinished.insist('free what a paused sandbox has held', async () => {
    await life.endVm(new DormouseError('invalid_state', over), place);
    // The topmost layer alone: headers of other layers may name those below it, and the generation has this one.
    if (disk !== undefined) await layers.removeTop(disk);
  });
  await onStep?.('freed');
}

async function tellPaused(life: Life, { cause, generationId }: PausedMoment): Promise<void> {
  if (cause === undefined) return;
  const { reason = '', policy } = life.journal;
  const told: Readonly<Record<PauseCause, readonly [HostEventKind, string]>> = {
    timeout: ['auto_paused', timedOut(policy)],
    shutdown: ['paused_with_host', 'the host was shut down'],
    vm_ended: ['vm_ended', reason],
  };
  await life.tell(...told[cause], generationId);
}

/** Why a timeout has done something. */
export function timedOut({ timeoutSec }: { readonly timeoutSec: number }): string {
  return `it was not used for ${timeoutSec} s`;
}

/** Its VM is no more, and its content cannot be resumed. */
export async function becomeStopped(life: Life, reason: string): Promise<void> {
  const { id, generation } = life.journal;
  await life.tell('stopped', reason, `${id} stopped ${generation}`);
  await life.settle(stopped(life.journal, reason));
}
