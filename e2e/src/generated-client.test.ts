import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { GENERATED_CLIENT_PROGRAM } from './support/generated-client-program.js';
import { run } from './support/run.js';
import { REPOSITORY, type Stack, startStack } from './support/stack.js';

/** Below the package, so that the generator, the compiler and what they make find their libraries. */
const PACKAGE = join(REPOSITORY, 'e2e');

let stack: Stack;
let dir: string;

beforeAll(async () => {
  await mkdir(join(PACKAGE, 'dist'), { recursive: true });
  dir = await mkdtemp(join(PACKAGE, 'dist', 'generated-client-'));
  stack = await startStack();
});

afterAll(async () => {
  await stack?.[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

test('a client that a generator made of the OpenAPI document type-checks and works', async () => {
  const { apiUrl, apiKey } = stack;
  const node = (...args: string[]) =>
    run(process.execPath, args, { cwd: dir, env: { API_URL: apiUrl, API_KEY: apiKey } });
  const generator = join(PACKAGE, 'node_modules', 'openapi-typescript', 'bin', 'cli.js');
  const compiler = join(REPOSITORY, 'node_modules', 'typescript', 'bin', 'tsc');
  await writeFile(join(dir, 'program.ts'), GENERATED_CLIENT_PROGRAM);

  // What has a default may be left out, which this generator does not take for granted.
  const generated = await node(
    generator,
    `${apiUrl}/openapi.json`,
    '--output',
    'schema.ts',
    '--default-non-nullable=false',
  );
  expect(generated).toMatchObject({ code: 0 });
  const strict = ['--strict', '--exactOptionalPropertyTypes', '--module', 'nodenext', '--target', 'es2022'];
  const compiled = await node(
    compiler,
    ...strict,
    '--types',
    'node',
    '--skipLibCheck',
    '--ignoreConfig',
    'program.ts',
  );
  expect({ code: compiled.code, said: compiled.stdout }).toEqual({ code: 0, said: '' });
  const { code, stdout, stderr } = await node('program.js');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(JSON.parse(stdout)).toEqual({
    size: 29,
    state: 'paused',
    resumed_by: 'memory',
    stdout: 'hello from a generated client',
    exit_code: 0,
    file: 'hello from a generated client',
    listed: [true],
    refused: 'not_found',
    gone: 204,
  });
});
