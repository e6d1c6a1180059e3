import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { processesWith } from '@dormouse/e2e';
import type { Sandbox } from '@dormouse/sdk';
import type { Bench, Figure } from '../figure.js';

const RUNNING = 5;
const PAUSED = 20;
/** Kernels count processor time in hundredths of a second (`getconf CLK_TCK`). */
const TICKS_PER_SEC = 100;
/** Until nothing of what was just done is under way. */
const SETTLE_MS = 10_000;

const SERVERS = [
  ['control plane', 'control-plane/dist/main.js'],
  ['host agent', 'host-agent/dist/main.js'],
] as const;

/** What our own processes use while nobody asks for anything, in percent of one processor. */
export async function idleCpu({ stack, quick, progress }: Bench): Promise<Figure[]> {
  const sandboxes: Sandbox[] = [];
  try {
    for (let index = 0; index < RUNNING + PAUSED; index++) {
      progress(`sandbox ${index + 1} of ${RUNNING + PAUSED}`);
      const sandbox = await stack.client.sandboxes.create();
      sandboxes.push(sandbox);
      if (index >= RUNNING) await sandbox.pause();
    }
    await delay(SETTLE_MS);
    const seconds = quick ? 15 : 60;
    progress(`nothing, for ${seconds} s`);
    const pids = await Promise.all(
      SERVERS.map(async ([, script]) => (await processesWith(script, 'node'))[0]),
    );
    const before = await Promise.all(pids.map(processorTicks));
    await delay(seconds * 1_000);
    const after = await Promise.all(pids.map(processorTicks));
    return SERVERS.map(([name], index) => {
      const percent = ((after[index]! - before[index]!) / TICKS_PER_SEC / seconds) * 100;
      return {
        name: `${name}, idle: ${RUNNING} sandboxes running, ${PAUSED} paused`,
        unit: '% of a core',
        median: percent,
        count: 1,
      };
    });
  } finally {
    for (const sandbox of sandboxes) await sandbox.delete();
  }
}

/** Processor time of a process, user and system, from /proc/PID/stat (proc(5)). */
async function processorTicks(pid: number | undefined): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  // The name may hold anything; what follows it begins with field 3.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}
