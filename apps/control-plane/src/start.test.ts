import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseApiKey } from '@dormouse/auth';
import { SandboxState } from '@dormouse/host-api';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ensureCredentials } from './credentials.js';
import { Bell } from './flow/bell.js';
import { authenticate } from './http/authentication.js';
import { reconcileForEver } from './reconciler/loop.js';
import { startServer } from './server.js';
import { startTestControlPlane, type TestControlPlane } from './testing/control-plane.js';

let plane: TestControlPlane;
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'dormouse-start-'));
  plane = await startTestControlPlane();
}, 60_000);
afterAll(async () => {
  await plane.close();
  await rm(dir, { recursive: true, force: true });
}, 60_000);

test('hazard 21: the first start makes a key that works, in a file that only its owner reads', async () => {
  const path = join(dir, 'data', 'credentials.json');
  const { store } = plane.services;
  const made = await ensureCredentials(path, store);
  expect(JSON.parse(await readFile(path, 'utf8'))).toEqual(made);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readdir(join(dir, 'data'))).toEqual(['credentials.json']);
  expect((await authenticate(plane.services, made.apiKey, null)).teamId).toBe(made.teamId);
  expect(await ensureCredentials(path, store)).toEqual(made);
});

test('the key of the file works again when the database has lost it', async () => {
  const path = join(dir, 'credentials.json');
  const { store } = plane.services;
  const made = await ensureCredentials(path, store);
  const { keyId, teamId } = await authenticate(plane.services, made.apiKey, null);
  expect(await store.forTeam(teamId).apiKeys.delete(String(keyId))).toBe(true);
  await expect(authenticate(plane.services, made.apiKey, null)).rejects.toThrow('this API key is not valid');
  expect((await ensureCredentials(path, store)).apiKey).toBe(made.apiKey);
  expect((await authenticate(plane.services, made.apiKey, null)).teamId).toBe(teamId);
  expect(parseApiKey(made.apiKey)).toBeDefined();
});

test('a damaged file is refused and never overwritten', async () => {
  const path = join(dir, 'damaged.json');
  for (const content of ['', '{', '{}', '{"apiKey":"hunter2"}']) {
    await writeFile(path, content);
    await expect(ensureCredentials(path, plane.services.store)).rejects.toThrow(
      `${path} does not hold an API key`,
    );
    expect(await readFile(path, 'utf8')).toBe(content);
  }
});

test('a port in use is one clear error', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const address = other.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  await expect(startServer(plane.services, { host: '127.0.0.1', port })).rejects.toThrow(
    expect.objectContaining({
      code: 'port_in_use',
      message: `port ${port} of 127.0.0.1 is in use`,
      suggestion: 'Choose another with DORMOUSE_API_PORT and DORMOUSE_API_HOST.',
    }),
  );
  await expect(startServer(plane.services, { host: '192.0.2.1', port: 0 })).rejects.toThrow(
    '192.0.2.1 is no address of this machine',
  );
  await new Promise((resolve) => other.close(resolve));
});

test('hazard 9: a server that stops lets open requests finish and takes no new ones', async () => {
  const server = await startServer(plane.services, { host: '127.0.0.1', port: 0 });
  const id = await plane.createSandbox();
  let finish = () => {};
  const running = new Promise<void>((started) => {
    plane.host.script({
      exec: async function* () {
        started();
        await new Promise<void>((resolve) => {
          finish = resolve;
        });
        yield { message: { case: 'exited' as const, value: { exitCode: 0, signal: 0 } } };
      },
    });
  });
  const answer = fetch(`${server.url}/v1/sandboxes/${id}/exec`, {
    method: 'POST',
    headers: { 'x-api-key': plane.team.key, 'content-type': 'application/json' },
    body: '{"cmd":"true"}',
  });
  await running;
  const stopped = server.stop();
  await expect(fetch(`${server.url}/healthz`)).rejects.toThrow();
  finish();
  expect((await answer).status).toBe(200);
  await stopped;
  plane.host.reset();
});

test('hazard 9: the reconciler begins at once, survives a host that cannot be reached, and stops when told', async () => {
  const id = await plane.createSandbox();
  const stop = new AbortController();
  const seen = new Promise<void>((resolve) => {
    plane.host.script({
      listSandboxes: () => {
        queueMicrotask(resolve);
        return { sandboxes: [{ id, generation: 1n, state: SandboxState.STOPPED, reason: 'gone' }] };
      },
    });
  });
  const looping = reconcileForEver(plane.services, new Bell(), stop.signal);
  await seen;
  stop.abort();
  await looping;
  const sandbox = (await (await plane.request(`/v1/sandboxes/${id}`)).json()) as { state: string };
  expect(sandbox.state).toBe('stopped');
});
