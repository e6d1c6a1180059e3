import type { TemplateBuildInfo } from '@dormouse/sdk';
import { expect, test } from 'vitest';
import { parseRecipe } from './create.js';
import { buildRows } from './rows.js';

test('a recipe is written as the API takes it', () => {
  const steps = [{ type: 'env', envs: { start_command: 'kept' } }];
  expect(parseRecipe(JSON.stringify({ name: 'web', memory_mb: 256, start_command: 'serve', steps }))).toEqual(
    {
      name: 'web',
      memoryMb: 256,
      startCommand: 'serve',
      steps,
    },
  );
});

test.each([
  ['{', 'the recipe is not valid JSON'],
  ['[]', 'a recipe is an object with a name'],
  ['{"steps":[]}', 'a recipe is an object with a name'],
  ['null', 'a recipe is an object with a name'],
])('%s is none', (json, message) => {
  expect(() => parseRecipe(json)).toThrow(message);
});

test('builds say how far they are, and why they failed', () => {
  const build = {
    id: 'tb1',
    name: 'web',
    state: 'failed',
    steps: 3,
    step: 1,
    cachedSteps: 1,
    error: 'step 2 ended with exit code 1',
    createdAt: '2026-01-31T09:30:00.000Z',
  } as TemplateBuildInfo;
  expect(buildRows([build], Date.parse('2026-01-31T09:30:05.000Z'))).toEqual([
    ['tb1', 'web', 'failed', '1/3', '1', '5 s', 'step 2 ended with exit code 1'],
  ]);
});
