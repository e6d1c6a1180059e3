import { setTimeout as delay } from 'node:timers/promises';
import { childrenWith, processorMs } from '@dormouse/e2e';
import type { Bench, Figure } from '../figure.js';
import { withSandboxes } from './with-sandboxes.js';

const PAUSED = 20;
const RUNNING = 5;
/** Until nothing is shortened, pushed or recorded any more. */
const SETTLE_MS = 10_000;

/** What control plane and host agent take of one processor while nobody wants anything of them. */
export function idleProcessors(bench: Bench): Promise<Figure[]> {
  const { stack, quick, progress } = bench;
  return withSandboxes(bench, PAUSED + RUNNING, async (sandboxes) => {
    for (const sandbox of sandboxes.slice(0, PAUSED)) await sandbox.pause();
    await delay(SETTLE_MS);
    const periodMs = quick ? 20_000 : 60_000;
    progress(`nothing, for ${periodMs / 1000} s`);
    const servers = [
      ['control plane', await serverOf(stack.pid, 'control-plane/dist/main.js')],
      ['host agent', await serverOf(stack.pid, 'host-agent/dist/main.js')],
    ] as const;
    const before = await Promise.all(servers.map(([, pid]) => processorMs(pid)));
    const beganMs = performance.now();
    await delay(periodMs);
    const tookMs = performance.now() - beganMs;
    const after = await Promise.all(servers.map(([, pid]) => processorMs(pid)));
    return servers.map(([name], index) => ({
      name: `${name}: processor with ${PAUSED} paused, ${RUNNING} running, all idle`,
      unit: '%',
      median: (100 * (after[index]! - before[index]!)) / tookMs,
      count: 1,
    }));
  });
}

/** The one that this `up` started. */
async function serverOf(up: number, script: string): Promise<number> {
  const [pid] = await childrenWith(up, script);
  if (pid === undefined) throw new Error(`${script} does not run`);
  return pid;
}
