import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestProject } from 'vitest/node';

const ROOT = import.meta.dirname;
const TEMPLATE = 'base';

/** What `prepare` reports, a line each. */
interface Line {
  readonly step?: string;
  readonly status?: string;
  readonly detail?: string;
  readonly error?: { readonly message: string; readonly suggestion?: string };
}

/**
 * Makes what tests with virtual machines share: JavaScript of the host agent, which some of them start as a process,
 * and kernel, initramfs and template. All of it is skipped where it is up to date.
 */
export default async function prepare(project: TestProject): Promise<void> {
  await build();
  const assetsDir = project.config.env.DORMOUSE_ASSETS_DIR;
  if (assetsDir === undefined) throw new Error('the project names no DORMOUSE_ASSETS_DIR');
  const program = join(ROOT, 'apps', 'host-agent', 'dist', 'prepare.js');
  const args = [program, '--assets', assetsDir, '--template', TEMPLATE];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  let failure = '';
  for await (const text of createInterface({ input: child.stdout })) {
    const line = JSON.parse(text) as Line;
    if (line.error !== undefined) failure = `${line.error.message} ${line.error.suggestion ?? ''}`.trim();
    if (line.status === 'start') process.stdout.write(`preparing ${line.step}: ${line.detail ?? ''}\n`);
  }
  const [code] = await closed;
  if (code !== 0) throw new Error(`the assets could not be prepared: ${failure || `exit code ${code}`}`);
}

/** Types are not what these tests are about: what does not check is emitted all the same. */
async function build(): Promise<void> {
  const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  const args = [compiler, '-b', join(ROOT, 'apps', 'host-agent')];
  await once(spawn(process.execPath, args, { stdio: 'ignore' }), 'close');
}
