import type { TemplateRecipe } from '@dormouse/sdk';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Stack, startStack } from './support/stack.js';
import { NO_TRACES, tracesOf } from './support/traces.js';

/** Answers what it was told when it started, and how often it was asked. */
const SERVER = `
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
asked = 0
class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        global asked
        asked += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{os.environ['GREETING']} {os.getcwd()} {os.getuid()} {asked}".encode())
    def log_message(self, *_): pass
HTTPServer(('127.0.0.1', 8000), Answer).serve_forever()
`;

const recipe = (last: string): TemplateRecipe => ({
  name: 'web',
  steps: [
    { type: 'env', envs: { GREETING: 'hello' } },
    { type: 'workdir', path: '/srv/app' },
    { type: 'run', command: 'head -c 1000000 /dev/urandom > random; id -u; pwd' },
    { type: 'copy', path: '/srv/app/server.py', content: SERVER },
    { type: 'run', command: last },
    { type: 'user', name: 'user' },
  ],
  startCommand: 'exec python3 server.py',
  readyCommand: 'curl -sSf http://127.0.0.1:8000/',
});

let stack: Stack;

beforeAll(async () => {
  stack = await startStack();
});

afterAll(async () => {
  await stack?.[Symbol.asyncDispose]();
});

test('a template is built step by step, sandboxes begin with its server running, and what is done is not done again', async () => {
  const { builds } = stack.client.templates;
  const said: string[] = [];
  const built = await builds.run(recipe('echo first'), {
    onLog: ({ stream, text }) => stream === 'stdout' && said.push(text),
  });
  expect(built).toMatchObject({ state: 'ready', steps: 6, step: 6, cachedSteps: 0 });
  expect(said.join('')).toContain('0\n/srv/app\n');

  await using sandbox = await stack.client.sandboxes.create({ template: 'web' });
  const say = async (command: string): Promise<string> => (await sandbox.exec(command)).stdout.trim();
  // The server was asked before, when it was found to be ready.
  expect(await say('curl -sS http://127.0.0.1:8000/')).toMatch(/^hello \/srv\/app [1-9]\d* [2-9]\d*$/);
  expect(await say('echo $GREETING; id -un; pwd')).toBe('hello\nuser\n/srv/app');
  expect(await say('cd; pwd')).toBe('/home/user');
  const [fork] = await sandbox.fork();
  if (fork?.sandbox === undefined) throw new Error('there is no fork');
  expect((await fork.sandbox.exec('pwd')).stdout).toBe('/srv/app\n');
  await fork.sandbox.delete();
  const random = await say('sha256sum < /srv/app/random');

  const again = await builds.run(recipe('echo second'));
  expect(again).toMatchObject({ state: 'ready', cachedSteps: 4 });
  await using other = await stack.client.sandboxes.create({ template: 'web' });
  expect((await other.exec('sha256sum < /srv/app/random')).stdout.trim()).toBe(random);
});

test('hazard 5: one that fails says why and leaves the template', async () => {
  const { builds } = stack.client.templates;
  const before = await stack.client.snapshots.get('web');
  await expect(builds.run(recipe('echo wrong >&2; exit 3'))).rejects.toMatchObject({
    code: 'invalid_state',
    message: 'web was not built: step 5 ended with exit code 3',
  });
  expect(await stack.client.snapshots.get('web')).toMatchObject({ id: before.id });
});

test('hazard 16: builds leave no sandboxes, and what they keep goes with their template', async () => {
  for await (const { id } of stack.client.sandboxes.list()) expect.unreachable(`${id} is still listed`);
  expect((await tracesOf(stack.dataDir)).sandboxes).toEqual([]);
  await stack.client.snapshots.delete('web');
  for await (const { name } of stack.client.snapshots.list({ type: 'snapshot' }))
    expect.unreachable(`${name} is still kept`);
  expect(await stack.stop()).toBe(0);
  expect(await tracesOf(stack.dataDir)).toEqual({ ...NO_TRACES, layers: expect.any(Array) });
});
