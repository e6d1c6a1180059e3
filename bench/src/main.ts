import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { assetsDir, processesWith, startStack } from '@dormouse/e2e';
import { Sandbox } from '@dormouse/sdk';
import { pausedByItself } from './control-plane/by-itself.js';
import { idleCpu } from './control-plane/idle-cpu.js';
import { underLoad } from './control-plane/load.js';
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
 * Measures a Dormouse of its own: `bench [--json FILE] [--quick] [--control-plane]`. The table goes to standard output,
 * progress to standard error. What is measured and how is in bench/README.md. Answers the data directory that was used.
 */
async function main(): Promise<string> {
  const { values } = parseArgs({
    options: {
      json: { type: 'string' },
      quick: { type: 'boolean', default: false },
      'control-plane': { type: 'boolean', default: false },
    },
  });
  const progress = (what: string): void => void process.stderr.write(`· ${what}\n`);
  progress('starting a stack');
  await using stack = await startStack({ env: { DORMOUSE_STANDBYS: '1', DORMOUSE_READY_SANDBOXES: '1' } });
  await using warm = await Sandbox.create({ apiUrl: stack.apiUrl, apiKey: stack.apiKey });
  await warm.exec({ cmd: 'true', args: [] });
  const accelerator = await acceleratorOf(assetsDir());
  const bench: Bench = { stack, warm, quick: values.quick, progress, accelerator };

  const figures: Figure[] = [];
  if (!values['control-plane']) figures.push(...(await stackFigures(bench)));
  figures.push(await apiOverhead(bench));
  figures.push(...(await underLoad(bench)));
  figures.push(...(await pausedByItself(bench)));
  figures.push(...(await idleCpu(bench)));
  if (!values['control-plane']) figures.push(...(await engineFigures(values.quick, progress)));

  process.stdout.write(`${figureTable(figures)}\n`);
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(figures, null, 2)}\n`);
  return stack.dataDir;
}

/** What a user meets, one thing at a time. */
async function stackFigures(bench: Bench): Promise<Figure[]> {
  return [
    await execRoundTrip(bench),
    await execOutput(bench),
    await upload(bench),
    await download(bench),
    await execDuringFlood(bench),
    await serverMemory(bench, 'host agent', 'host-agent/dist/main.js'),
    await serverMemory(bench, 'control plane', 'control-plane/dist/main.js'),
    await idleSandbox(bench),
    await createToFirstOutput(bench),
  ];
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
