import { setTimeout as delay } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import type { Steps } from '../terminal/steps.js';
import { isAlive } from './process-table.js';
import type { UpState } from './up-state.js';

const POLL_MS = 100;

/** How long processes of an `up` that was killed may take to end by themselves, and after each signal. */
export interface OrphanPatience {
  readonly aloneMs: number;
  readonly afterTermMs: number;
  readonly afterKillMs: number;
}

/** Asked to end, a host agent pauses its sandboxes first. */
const PATIENCE: OrphanPatience = { aloneMs: 10_000, afterTermMs: 30_000, afterKillMs: 5_000 };

/**
 * Waits until the processes of an `up` that was killed are gone. They notice the closed pipe themselves; who does
 * not is asked, then made to end. Only processes that are provably the same are touched.
 */
export async function outwaitOrphans(
  state: UpState | undefined,
  steps: Steps,
  signal: AbortSignal,
  patience: OrphanPatience = PATIENCE,
): Promise<void> {
  const living = (): UpState['processes'] => (state?.processes ?? []).filter(isAlive);
  if (living().length === 0) return;
  const step = steps.start('Wait for what a killed `up` left behind');
  const gone = async (limitMs: number): Promise<boolean> => {
    const end = performance.now() + limitMs;
    while (living().length > 0) {
      if (performance.now() >= end) return false;
      step.update(
        living()
          .map(({ name }) => name)
          .join(', '),
      );
      await delay(POLL_MS, undefined, { signal });
    }
    return true;
  };
  const kill = (name: 'SIGTERM' | 'SIGKILL'): void => {
    // Each leads a process group of its own; a preparation's tools must end with it, services see to theirs.
    for (const process_ of living())
      process.kill(process_.name === 'prepare' ? -process_.pid : process_.pid, name);
  };
  try {
    if (!(await gone(patience.aloneMs))) kill('SIGTERM');
    if (!(await gone(patience.afterTermMs))) kill('SIGKILL');
    if (!(await gone(patience.afterKillMs))) {
      const names = living()
        .map(({ name, pid }) => `${name} (pid ${pid})`)
        .join(', ');
      throw new DormouseError('already_running', `processes of an earlier \`up\` cannot be ended: ${names}`);
    }
  } catch (thrown) {
    step.fail();
    throw thrown;
  }
  step.done();
}
