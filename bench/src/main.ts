import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { assetsDir, processesWith, startStack } from '@dormouse/e2e';
import { Sandbox } from '@dormouse/sdk';
import { aliveAtOnce } from './engine/density.js';
import { againstEagerRestore } from './engine/eager.js';
import { acceleratorOf, openEngine } from './engine/engine.js';
import {
  checkpoints,
  createFromTemplate,
  forks,
  pageRequests,
  pauseAndResume,
  pausedCosts,
} from './engine/sleep.js';
import type { Bench, Figure } from './figure.js';
import { apiOverhead, createToFirstOutput, execDuringFlood, execRoundTrip } from './latency.js';
import { idleSandbox, serverMemory } from './memory.js';
import { figureTable } from './table.js';
import { download, execOutput, upload } from './throughput.js';

/**
 * Measures a Dormouse of its own: `bench [--json FILE] [--quick]`. The table goes to standard output, progress to
 * standard error. What is measured and how is in bench/README.md. Answers the data directory that was used.
 */
async function main(): Promise<string> {
  const { values } = parseArgs({
    options: { json: { type: 'string' }, quick: { type: 'boolean', default: false } },
  });
  const progress = (what: string): void => void process.stderr.write(`· ${what}\n`);
  progress('starting a stack');
  await using stack = await startStack({ env: { DORMOUSE_STANDBYS: '1', DORMOUSE_READY_SANDBOXES: '1' } });
  await using warm = await Sandbox.create({ apiUrl: stack.apiUrl, apiKey: stack.apiKey });
  await warm.exec({ cmd: 'true', args: [] });
  const accelerator = await acceleratorOf(assetsDir());
  const bench: Bench = { stack, warm, quick: values.quick, progress, accelerator };

  const figures: Figure[] = [];
  figures.push(await execRoundTrip(bench));
  figures.push(await apiOverhead(bench));
  figures.push(await execOutput(bench));
  figures.push(await upload(bench));
  figures.push(await download(bench));
  figures.push(await execDuringFlood(bench));
  figures.push(await serverMemory(bench, 'host agent', 'host-agent/dist/main.js'));
  figures.push(await serverMemory(bench, 'control plane', 'control-plane/dist/main.js'));
  figures.push(await idleSandbox(bench));
  figures.push(await createToFirstOutput(bench));

  figures.push(...(await engineFigures(values.quick, progress)));

  process.stdout.write(`${figureTable(figures)}\n`);
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(figures, null, 2)}\n`);
  return stack.dataDir;
}

/** What pausing and resuming cost, by a host in this process: what an API and a database add is measured above. */
async function engineFigures(quick: boolean, progress: (what: string) => void): Promise<Figure[]> {
  progress('freezing a template');
  await using engine = await openEngine(assetsDir());
  const bench = { engine, quick, progress };
  const { figures, floorMs, resumeMs } = await pauseAndResume(bench);
  const created = await createFromTemplate(bench, { floorMs, resumeMs });
  return [
    ...figures,
    ...created,
    ...(await forks(bench, resumeMs)),
    await checkpoints(bench),
    await pageRequests(bench),
    await pausedCosts(bench),
    await againstEagerRestore(bench),
    ...(await aliveAtOnce(bench)),
  ];
}

const dataDir = await main();
const left = await processesWith('qemu-system', `${dataDir}/`);
if (left.length > 0) throw new Error(`VM processes are left: ${left.join(', ')}`);
