import { setTimeout as delay } from 'node:timers/promises';
import { processesWith, processMemory, vmOf } from '@dormouse/e2e';
import { Sandbox } from '@dormouse/sdk';
import type { Bench, Figure } from './figure.js';
import { summarise } from './statistics.js';

const MIB = 1024 * 1024;
/** Until a guest that has nothing to do has nothing to do. */
const SETTLE_MS = 5_000;

/** Memory of sandboxes that do nothing, each with its guest's RAM, by proportional set size. */
export async function idleSandbox({ stack, quick, progress }: Bench): Promise<Figure> {
  progress('memory of idle sandboxes');
  const sizes: number[] = [];
  for (let index = 0; index < (quick ? 1 : 5); index++) {
    await using sandbox = await Sandbox.create({ apiUrl: stack.apiUrl, apiKey: stack.apiKey });
    await sandbox.exec({ cmd: 'true', args: [] });
    await delay(SETTLE_MS);
    const vm = await vmOf(stack.dataDir, sandbox.id);
    if (vm === undefined) throw new Error('the VM process was not found');
    sizes.push((await processMemory(vm.pid)).pssBytes / MIB);
  }
  const { median, p95, count } = summarise(sizes);
  const target = { text: '≤ 60 MiB', met: median <= 60 };
  return { name: 'idle sandbox of 512 MiB, QEMU and guest (PSS)', unit: 'MiB', median, p95, count, target };
}

/** Memory of one of our own processes after everything above. */
export async function serverMemory(bench: Bench, name: string, script: string): Promise<Figure> {
  bench.progress(`memory of the ${name}`);
  const [pid] = await processesWith(script, 'node');
  const mine = pid === undefined ? Number.NaN : (await processMemory(pid)).pssBytes / MIB;
  return { name: `${name} (PSS)`, unit: 'MiB', median: mine, count: 1 };
}
