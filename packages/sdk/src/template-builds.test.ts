import { expect, test } from 'vitest';
import { Client, type TemplateBuildLog } from './index.js';
import { type Answer, json, ScriptedServer, type SeenRequest } from './testing/scripted-server.js';

const ID = 'tb4f9k2m7q1x8c3v6b0n5z';
const wireBuild = (changes: object = {}) => ({
  id: ID,
  name: 'web',
  from: 'base',
  state: 'queued',
  steps: 1,
  step: 0,
  cached_steps: 0,
  snapshot_id: null,
  error: null,
  created_at: '2026-01-31T09:30:00.000Z',
  started_at: null,
  finished_at: null,
  ...changes,
});
const entry = (text: string) => ({ step: 1, stream: 'stdout', text, at: '2026-01-31T09:30:00.000Z' });
/** Two entries, cut in the middle of a character of the second. */
const log: Answer = (_request, response) => {
  const bytes = Buffer.from(`${JSON.stringify(entry('one\n'))}\n${JSON.stringify(entry('zwö\n'))}\n`);
  const cut = bytes.indexOf(Buffer.from('ö')) + 1;
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  response.write(bytes.subarray(0, cut), () => response.end(bytes.subarray(cut)));
};
const seen = ({ method, url, body }: SeenRequest) => [method, url, body === '' ? '' : JSON.parse(body)];
const buildsOf = (server: ScriptedServer) =>
  new Client({ apiUrl: server.url, apiKey: 'dor_key' }).templates.builds;

test('hazard 13: a build is begun, followed to its end character by character, and answered', async () => {
  await using server = await ScriptedServer.start([
    json(202, wireBuild()),
    log,
    json(200, wireBuild({ state: 'ready', step: 1, snapshot_id: 'sn1' })),
  ]);
  const said: TemplateBuildLog[] = [];
  const recipe = {
    name: 'web',
    steps: [{ type: 'run' as const, command: 'make' }],
    startCommand: 'serve',
    memoryMb: 256,
  };
  const built = await buildsOf(server).run(recipe, { onLog: (line) => said.push(line) });
  expect(built).toMatchObject({ state: 'ready', snapshotId: 'sn1', cachedSteps: 0 });
  expect(said.map(({ text }) => text)).toEqual(['one\n', 'zwö\n']);
  expect(server.requests.map(seen)).toEqual([
    [
      'POST',
      '/v1/templates',
      { name: 'web', steps: [{ type: 'run', command: 'make' }], start_command: 'serve', memory_mb: 256 },
    ],
    ['GET', `/v1/templates/builds/${ID}/logs?follow=true`, ''],
    ['GET', `/v1/templates/builds/${ID}`, ''],
  ]);
});

test('one that fails is an error that says why', async () => {
  await using server = await ScriptedServer.start([
    json(202, wireBuild()),
    log,
    json(200, wireBuild({ state: 'failed', error: 'step 1 ended with exit code 2' })),
  ]);
  await expect(buildsOf(server).run({ name: 'web' })).rejects.toMatchObject({
    code: 'invalid_state',
    message: 'web was not built: step 1 ended with exit code 2',
  });
});

test('builds are listed', async () => {
  await using server = await ScriptedServer.start([
    json(200, { builds: [wireBuild()], next_cursor: 'c2' }),
    json(200, { builds: [wireBuild({ name: 'old' })], next_cursor: null }),
  ]);
  const names: string[] = [];
  for await (const { name } of buildsOf(server).list()) names.push(name);
  expect(names).toEqual(['web', 'old']);
});
