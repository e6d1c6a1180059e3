import { fromUnknown } from '@dormouse/errors';
import type { Sandbox } from '../actor/sandbox.js';
import { limited } from '../concurrency/limited.js';
import type { SandboxLog } from '../config/sandbox-log.js';

/** Sandboxes that go to sleep and wake up with their host side by side: more only wait for CPUs. */
const PARALLEL = 2;

/**
 * Pauses sandboxes until their host is back. One that cannot be paused keeps its disk, and if even that fails is shut
 * down cleanly. Answers how many were paused, and how many were not.
 */
export async function pauseWithHost(
  running: readonly Sandbox[],
  reason: string,
  log: SandboxLog,
): Promise<{ readonly paused: number; readonly shutDown: number }> {
  const results = await limited(PARALLEL, running, async (sandbox) => {
    for (const kind of ['full', 'disk'] as const) {
      try {
        await sandbox.pause({ kind, resumeAtStart: true });
        return true;
      } catch (error) {
        log.warn({ sandboxId: sandbox.id, kind, err: fromUnknown(error) }, 'the sandbox was not paused');
      }
    }
    await sandbox.shutDown(reason);
    return false;
  });
  const paused = results.filter(Boolean).length;
  return { paused, shutDown: results.length - paused };
}

/**
 * Resumes, of these sandboxes, those that are paused only because their host was away. Answers how many came back.
 *
 * @param resume into the next generation
 */
export async function resumeWithHost(
  sandboxes: readonly Sandbox[],
  resume: (sandbox: Sandbox) => Promise<unknown>,
  log: SandboxLog,
): Promise<number> {
  const waiting = sandboxes.filter(({ journal }) => journal.state === 'paused' && journal.resumeAtStart);
  const results = await limited(PARALLEL, waiting, async (sandbox) => {
    try {
      await resume(sandbox);
      await sandbox.tell('resumed_with_host', 'the host is back');
      return true;
    } catch (error) {
      log.warn({ sandboxId: sandbox.id, err: fromUnknown(error) }, 'the sandbox stays paused');
      await sandbox.tell('stays_paused', `it was not resumed with its host: ${fromUnknown(error).message}`);
      return false;
    }
  });
  return results.filter(Boolean).length;
}
