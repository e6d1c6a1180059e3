import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Guest } from '@dormouse/sandbox';
import {
  type Accelerator,
  acceleratorFor,
  detectKvm,
  findKernel,
  type Kernel,
  QemuDriver,
  type Sandbox,
  SandboxHost,
  type Step,
} from '@dormouse/sandbox';

const AGENT_PATH = fileURLToPath(new URL('../../../guest/build/dormouse-guest', import.meta.url));

/** A host of sandboxes in this process, whose named steps can be timed: what an API would hide. */
export interface Engine extends AsyncDisposable {
  readonly host: SandboxHost;
  readonly driver: QemuDriver;
  readonly accelerator: Accelerator;
  readonly kernel: Kernel;
  readonly assetsDir: string;
  readonly dataDir: string;
  /** Milliseconds between two steps of what was done last. */
  between(from: Step, to: Step): number;
  /** How long the VM of the last moment that was kept stood still. */
  stoppedMs(): number;
}

/** What runs guest code here. */
export async function acceleratorOf(assetsDir: string): Promise<Accelerator> {
  return acceleratorFor(await detectKvm(assetsDir, await kernelIn(assetsDir)));
}

async function kernelIn(assetsDir: string): Promise<Kernel> {
  const kernel = await findKernel(assetsDir, AGENT_PATH);
  if (kernel === undefined) throw new Error(`there is no kernel in ${assetsDir}`);
  return kernel;
}

/** Opens a host on empty directories, its template frozen, processes standing by, a sandbox waiting. */
export async function openEngine(assetsDir: string): Promise<Engine> {
  const kernel = await kernelIn(assetsDir);
  const dataDir = await mkdtemp('/var/tmp/dormouse-bench-');
  await chmod(dataDir, 0o711);
  const accelerator = acceleratorFor(await detectKvm(assetsDir, kernel));
  const memoryDir = join('/dev/shm', basename(dataDir));
  const driver = new QemuDriver();
  const times = new Map<Step, number>();
  let stoppedMs = Number.NaN;
  const host = await SandboxHost.open({
    config: { dataDir, assetsDir, memoryDir, agentPath: AGENT_PATH, accelerator },
    driver,
    accelerator,
    kernel,
    standbys: 1,
    readySandboxes: 1,
    onStep: (step) => void times.set(step, performance.now()),
    log: {
      info: (fields) => {
        if (typeof fields.stoppedMs === 'number') stoppedMs = fields.stoppedMs;
      },
      warn: (fields, message) => void process.stderr.write(`  ${message} ${String(fields.err ?? '')}\n`),
    },
  });
  await host.freezeTemplate('base');
  await host.warmUp('base');
  return {
    host,
    driver,
    accelerator,
    kernel,
    assetsDir,
    dataDir,
    between: (from, to) => (times.get(to) ?? Number.NaN) - (times.get(from) ?? Number.NaN),
    stoppedMs: () => stoppedMs,
    [Symbol.asyncDispose]: async () => {
      for (const sandbox of host.list()) await host.destroy(sandbox.id);
      await host.release();
      await rm(dataDir, { recursive: true, force: true });
      await rm(memoryDir, { recursive: true, force: true });
    },
  };
}

let lastId = 0;

/** An id that was not used before. */
export function nextId(): string {
  lastId += 1;
  return `sb${String(lastId).padStart(20, '0')}`;
}

/** Runs a command in a guest and answers what it printed. */
export async function runIn(guest: Guest, script: string): Promise<string> {
  const process = await guest.startProcess({ argv: ['/bin/sh', '-c', script] });
  let output = '';
  for await (const { data } of process.output) output += Buffer.from(data).toString('latin1');
  const { exitCode } = await process.exit;
  if (exitCode !== 0) throw new Error(`${script} ended with ${exitCode}: ${output}`);
  return output;
}

/** The command that shows that a sandbox works: as short as one can be. */
export async function firstOutput(sandbox: Sandbox): Promise<void> {
  const output = await runIn(await sandbox.guest(), 'echo ready');
  if (output !== 'ready\n') throw new Error(`unexpected output ${JSON.stringify(output)}`);
}
