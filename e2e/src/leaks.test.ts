import { readdir, readlink } from 'node:fs/promises';
import type { Sandbox } from '@dormouse/sdk';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from './support/eventually.js';
import { SCALE } from './support/scale.js';
import { servicePid } from './support/services.js';
import { type Stack, startStack } from './support/stack.js';
import { NO_TRACES, tracesOf } from './support/traces.js';

const SANDBOXES = 20 * SCALE;
/** Two at a time: one boots while the other is used and removed. */
const WORKERS = 2;
/** Connections that clients keep open between requests come and go. */
const SPARE_DESCRIPTORS = 5;

let stack: Stack;

beforeAll(async () => {
  stack = await startStack();
});

afterAll(async () => {
  await stack?.[Symbol.asyncDispose]();
});

/** Open descriptors of the services that touch sandboxes, those of files in the data directory by name. */
async function descriptors(): Promise<{ readonly count: number; readonly files: readonly string[] }> {
  const files: string[] = [];
  let count = 0;
  for (const name of ['host-agent', 'control-plane'] as const) {
    const dir = `/proc/${await servicePid(stack, name)}/fd`;
    for (const fd of await readdir(dir)) {
      const target = await readlink(`${dir}/${fd}`).catch(() => '');
      count += 1;
      if (target.includes(`${stack.dataDir}/sandboxes/`) || target.includes('/dev/shm/')) files.push(target);
    }
  }
  return { count, files };
}

/** A short life: commands, a process that runs on, files, a shell in a terminal, the end. */
async function live(sandbox: Sandbox, index: number): Promise<void> {
  const content = Buffer.alloc(256 * 1024, `${index}`);
  await sandbox.files.write('/tmp/content', content);
  const { stdout } = await sandbox.exec('wc -c < /tmp/content');
  expect(stdout).toBe('262144\n');
  expect(Buffer.from(await sandbox.files.read('/tmp/content')).equals(content)).toBe(true);
  await sandbox.spawn({ cmd: 'sleep', args: ['600'] }, { stdin: false, detach: true });
  const shell = await sandbox.spawn({ cmd: 'bash', args: [] }, { pty: { cols: 80, rows: 24 } });
  await shell.stdin.write('exit 3\r');
  expect(await shell.wait()).toEqual({ exitCode: 3, signal: null });
}

test(`hazard 16: ${SANDBOXES} sandboxes, made, used and destroyed, leave nothing behind`, async () => {
  // What is made once and stays (connections, caches) shall not count.
  await (await stack.client.sandboxes.create()).delete();
  const before = { traces: await tracesOf(stack.dataDir), descriptors: await descriptors() };
  expect(before.traces).toMatchObject({
    sockets: [],
    guestMemory: [],
    sandboxes: [],
    mounts: [],
    temporary: [],
  });
  expect(before.descriptors.files).toEqual([]);

  const ids = new Set<string>();
  const numbers = Array.from({ length: SANDBOXES }, (_, index) => index).values();
  const work = async (): Promise<void> => {
    for (const index of numbers) {
      await using sandbox = await stack.client.sandboxes.create();
      ids.add(sandbox.id);
      await live(sandbox, index);
      expect((await tracesOf(stack.dataDir)).sandboxes).toContain(sandbox.id);
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, work));

  expect(ids.size).toBe(SANDBOXES);
  await expect.poll(() => tracesOf(stack.dataDir), { timeout: 60_000 }).toEqual(before.traces);
  await eventually('the descriptors are as many as before', 60_000, async () => {
    const { count, files } = await descriptors();
    return files.length === 0 && count <= before.descriptors.count + SPARE_DESCRIPTORS;
  });
  for await (const { id } of stack.client.sandboxes.list()) expect.unreachable(`${id} is still listed`);
});

test('hazard 16: sandboxes that are destroyed while they boot, or twice at once, leave nothing behind', async () => {
  const before = await tracesOf(stack.dataDir);
  const made = stack.client.sandboxes.create({ metadata: { made: 'to be destroyed' } });
  made.catch(() => {});
  const id = await eventually('it is known', 60_000, async () => {
    for await (const info of stack.client.sandboxes.list({ metadata: { made: 'to be destroyed' } }))
      return info.id;
    return undefined;
  });
  await Promise.all([stack.client.sandboxes.delete(id), stack.client.sandboxes.delete(id)]);
  // A machine that is quick may have made it by then.
  const outcome = await made.then(
    () => 'made',
    ({ name }: Error) => name,
  );
  expect(['ApiError', 'made']).toContain(outcome);
  expect(await tracesOf(stack.dataDir)).toEqual(before);
  await expect(stack.client.sandboxes.info(id)).rejects.toMatchObject({ code: 'not_found' });
});

test('hazard 16: `up` ends with 0 and takes everything with it', async () => {
  expect(await stack.stop()).toBe(0);
  expect(await tracesOf(stack.dataDir)).toEqual(NO_TRACES);
});
