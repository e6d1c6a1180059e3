import { setTimeout as wait } from 'node:timers/promises';
import { DormouseError } from '@dormouse/errors';
import { isTransitional } from '@dormouse/lifecycle';
import type { SandboxRecord, TeamScope } from '@dormouse/store';
import { findSandbox, notRunning } from './find.js';

/** How long to wait for what another process is doing with the sandbox, or for what the reconciler has to repair. */
const SETTLE_TIMEOUT_MS = 60_000;

/** How often to look: nobody tells when another process is done. */
const LOOK_EVERY_MS = 100;

/** A sandbox of which one can tell where it is. */
export type SettledSandbox = SandboxRecord & { readonly state: 'running' | 'paused' };

/**
 * The sandbox when nobody is at work on it, running or paused.
 *
 * @throws DormouseError `not_found`; `invalid_state` when it has ended, is ending, or does not settle in time
 */
export async function settled(team: TeamScope, id: string): Promise<SettledSandbox> {
  const until = performance.now() + SETTLE_TIMEOUT_MS;
  for (;;) {
    const record = await findSandbox(team, id);
    if (isSettled(record)) return record;
    if (record.state === 'stopping' || !isTransitional(record.state)) throw notRunning(record);
    if (performance.now() > until) {
      throw new DormouseError('invalid_state', `the sandbox ${id} has been ${record.state} for too long`, {
        suggestion: 'Try again in a while, or destroy it.',
      });
    }
    await wait(LOOK_EVERY_MS);
  }
}

function isSettled(record: SandboxRecord): record is SettledSandbox {
  return record.state === 'running' || record.state === 'paused';
}
