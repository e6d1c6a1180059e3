import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type CrashPlan, crash } from './crash.js';
import { HOST_MARK } from './host-processes.js';

/** Built, because a process of its own runs no TypeScript; tests with virtual machines build before they begin. */
const PROGRAM = new URL('../../dist/testing/crash.js', import.meta.url).href;

/** How an agent ended. */
export interface CrashEnd {
  readonly signal: NodeJS.Signals | null;
  readonly exitCode: number | null;
  /** Changes to file systems it has made, when it came to the end of what it had to do. */
  readonly changes: number | undefined;
  /** What it wrote about its end. */
  readonly errors: string;
}

/** Has an agent process do something to a host that nobody else has open, and die in the middle of it. */
export async function runCrash(plan: CrashPlan): Promise<CrashEnd> {
  const script = `import { ${crash.name} } from ${JSON.stringify(PROGRAM)};
  await ${crash.name}(${JSON.stringify(plan)});`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, [HOST_MARK]: plan.config.dataDir },
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
  });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const [exitCode, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  return { exitCode, signal, changes: output === '' ? undefined : Number(output), errors };
}
