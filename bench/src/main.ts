import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { processesWith, startStack } from '@dormouse/e2e';
import { Sandbox } from '@dormouse/sdk';
import type { Bench, Figure } from './figure.js';
import { createToFirstOutput, execDuringFlood, execRoundTrip } from './latency.js';
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
  await using stack = await startStack();
  await using warm = await Sandbox.create({ apiUrl: stack.apiUrl, apiKey: stack.apiKey });
  await warm.exec({ cmd: 'true', args: [] });
  const bench: Bench = { stack, warm, quick: values.quick, progress };

  const figures: Figure[] = [];
  figures.push(await execRoundTrip(bench));
  figures.push(await execOutput(bench));
  figures.push(await upload(bench));
  figures.push(await download(bench));
  figures.push(await execDuringFlood(bench));
  figures.push(await serverMemory(bench, 'host agent', 'host-agent/dist/main.js'));
  figures.push(await serverMemory(bench, 'control plane', 'control-plane/dist/main.js'));
  figures.push(await idleSandbox(bench));
  figures.push(await createToFirstOutput(bench));

  process.stdout.write(`${figureTable(figures)}\n`);
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(figures, null, 2)}\n`);
  return stack.dataDir;
}

const dataDir = await main();
const left = await processesWith('qemu-system', `${dataDir}/`);
if (left.length > 0) throw new Error(`VM processes are left: ${left.join(', ')}`);
