import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { listenRpc, refuseSecondAgent } from './rpc-server.js';

let dir: string;
let path: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rpc-'));
  path = join(dir, 'agent.sock');
});

afterEach(async () => {
  await rm(dir, { recursive: true });
});

test('a second agent is refused while the first one listens, and welcome after it', async () => {
  await refuseSecondAgent(path);
  const server = await listenRpc(path, () => {});
  await expect(refuseSecondAgent(path)).rejects.toMatchObject({
    code: 'already_running',
    message: `a host agent is running at ${path} already`,
  });
  await server.close();
  await refuseSecondAgent(path);
});

test('only its own user may connect', async () => {
  const server = await listenRpc(path, () => {});
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  await server.close();
});
