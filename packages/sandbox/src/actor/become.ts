import { DormouseError } from '@dormouse/errors';
import type { HostEventKind } from '../records/host-events.js';
import type { PauseCause, PausedMoment } from '../records/journal.js';
import { type Life, NO_VM } from './life.js';

/** The moment is kept: it is what the sandbox is, and its VM goes. */
export async function becomePaused(life: Life, paused: PausedMoment): Promise<void> {
  const { onStep, layers } = life.environment;
  const { vm: place, disk } = life.journal;
  // Told first: what is told twice, before a crash and after it, counts once.
  await tellPaused(life, paused);
  const resumeAtStart = paused.cause === 'shutdown' ? true : undefined;
  await life.record({ state: 'paused', ...NO_VM, paused, resumeAtStart });
  await onStep?.('recorded');
  const over = 'the sandbox was paused; what ran in it goes on when it is resumed';
  await life.endVm(new DormouseError('invalid_state', over), place);
  await layers.remove(disk?.layers ?? []);
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

/** Its VM is no more, and there is nothing it can be resumed from. */
export async function becomeStopped(life: Life, reason: string): Promise<void> {
  const { id, generation } = life.journal;
  await life.tell('stopped', reason, `${id} stopped ${generation}`);
  await life.record({ state: 'stopped', reason, vm: undefined, intent: undefined });
}
