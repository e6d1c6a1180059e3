import { readdir, readFile } from 'node:fs/promises';
import { freemem } from 'node:os';
import type { Figure } from '../figure.js';
import { firstOutput, nextId } from './engine.js';
import type { EngineBench } from './sleep.js';

const MIB = 1024 * 1024;
const WANTED = 100;
/** More at once only wait for the processors. */
const PARALLEL = 2;

/** As many sandboxes as are wanted, all running, all answering once all are there; and what each took of the host's memory. */
export async function aliveAtOnce({ engine, quick, progress }: EngineBench): Promise<Figure[]> {
  const wanted = quick ? 10 : WANTED;
  const ids = Array.from({ length: wanted }, nextId);
  const waiting = ids.values();
  const freeBefore = freemem();
  try {
    await Promise.all(
      Array.from({ length: PARALLEL }, async () => {
        for (const id of waiting) {
          progress(`sandboxes alive at once, ${ids.indexOf(id) + 1} of ${wanted}`);
          const sandbox = await engine.host.create(id, 1, { template: 'base', envs: {}, internet: true });
          await firstOutput(sandbox);
          await sandbox.loaded();
        }
      }),
    );
    for (const id of ids) await firstOutput(engine.host.get(id));
    const eachMiB = (freeBefore - freemem()) / MIB / wanted;
    const alive = await vmProcesses(engine.dataDir);
    return [
      {
        name: 'sandboxes alive at once, all answering',
        unit: 'sandboxes',
        median: ids.filter((id) => engine.host.get(id).journal.state === 'running').length,
        count: 1,
        target: { text: `≥ ${WANTED}`, met: ids.length >= WANTED && alive >= WANTED },
      },
      {
        name: `memory of the host each of those ${wanted} takes`,
        unit: 'MiB',
        median: eachMiB,
        count: wanted,
        target: { text: '≤ 60 MiB', met: eachMiB <= 60 },
      },
    ];
  } finally {
    for (const id of ids) await engine.host.destroy(id);
  }
}

async function vmProcesses(dataDir: string): Promise<number> {
  let count = 0;
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const line = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
    if (line.includes('qemu-system') && line.includes(dataDir)) count += 1;
  }
  return count;
}
