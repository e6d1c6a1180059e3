import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

/** Signals and standard input belong to a whole process, so each test has a process of its own that waits. */
const WAITER = `
import { stopRequested } from './stop-request.mjs';
const request = stopRequested(process.argv[2] === 'supervised');
process.stdout.write('waiting\\n');
const alive = setInterval(() => {}, 1_000);
process.stdout.write(await request);
process.exit(0);
`;

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dormouse-'));
  const source = await readFile(fileURLToPath(new URL('./stop-request.ts', import.meta.url)), 'utf8');
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
  const { outputText } = ts.transpileModule(source, { compilerOptions });
  await writeFile(join(directory, 'stop-request.mjs'), outputText);
  await writeFile(join(directory, 'waiter.mjs'), WAITER);
});

afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

/** What the waiting process took the event for, and how it ended. */
async function answerTo(
  supervised: boolean,
  event: 'SIGTERM' | 'SIGINT' | 'SIGHUP' | 'end of input',
): Promise<{ readonly output: string; readonly code: number | null; readonly signal: string | null }> {
  const args = [join(directory, 'waiter.mjs'), supervised ? 'supervised' : 'alone'];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk;
  });
  const closed = once(child, 'close') as Promise<[number | null, string | null]>;
  await once(child.stdout, 'data');
  if (event === 'end of input') child.stdin.end('this is ignored');
  else child.kill(event);
  const [code, signal] = await closed;
  return { output: output.slice('waiting\n'.length), code, signal };
}

describe('a request to stop', () => {
  test.each([
    ['SIGTERM', 'shut-down'],
    ['SIGINT', 'shut-down'],
    ['SIGHUP', 'hand-over'],
  ] as const)('by %s means: %s', async (signal, expected) => {
    expect(await answerTo(false, signal)).toEqual({ output: expected, code: 0, signal: null });
    expect(await answerTo(true, signal)).toEqual({ output: expected, code: 0, signal: null });
  });

  test('by the end of a supervisor means: hand-over', async () => {
    expect(await answerTo(true, 'end of input')).toEqual({ output: 'hand-over', code: 0, signal: null });
  });

  test('does not come from standard input where nobody supervises', async () => {
    const child = spawn(process.execPath, [join(directory, 'waiter.mjs'), 'alone'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    child.stdin.end();
    await once(child.stdin, 'finish');
    const closed = once(child, 'close');
    child.kill('SIGKILL');
    expect(await closed).toEqual([null, 'SIGKILL']);
  });
});
