import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GenerationStore, openMemory } from '@dormouse/snapshot';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PageServer } from './page-server.js';
import { PageServerPool } from './page-server-pool.js';

const PAGE_BYTES = 4096;
const PAGES = 64;
const MACHINE = { vmm: 'none' };

let dir: string;
let store: GenerationStore;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'dormouse-'));
  store = await GenerationStore.open(join(dir, 'generations'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('a page server', () => {
  test('captures memory, takes one job at a time, and is gone when killed', async () => {
    const ramPath = join(dir, 'ram');
    const page = randomBytes(PAGE_BYTES);
    await writeFile(ramPath, page);
    await truncate(ramPath, PAGES * PAGE_BYTES);
    const server = await PageServer.start();
    const draft = await store.begin();
    const job = { root: store.root, ramPath, pageCount: PAGES, into: draft.captureTarget };
    const capturing = server.capture(job);
    expect(server.isIdle).toBe(false);
    await expect(server.capture(job)).rejects.toMatchObject({ code: 'invalid_state' });
    const { counts, workingSet } = await capturing;
    expect(counts).toEqual({ unchanged: 0, changed: 1, zeroed: 0, zero: PAGES - 1 });
    expect(workingSet).toEqual([]);
    for (const name of ['device.bin', 'disk.qcow2'] as const) await draft.write(name, Buffer.from('x'));
    const { id } = await draft.commit({ kind: 'full', machine: MACHINE, counts });
    using memory = openMemory(store, id);
    expect(Buffer.from(memory.read(0)!).equals(page)).toBe(true);
    expect(memory.read(1)).toBeUndefined();
    expect(server.isIdle).toBe(true);
    await server.kill();
    await server.kill();
    expect([server.isIdle, isAlive(server.pid)]).toEqual([false, false]);
    // What the job is part of has failed, not the one who asked for it.
    await expect(server.capture(job)).rejects.toMatchObject({ code: 'pause_failed' });
    const socketPath = join(dir, 'nobody.sock');
    const { loaded } = server.serve({ root: store.root, generationId: id, socketPath });
    await expect(loaded).rejects.toMatchObject({ code: 'restore_failed' });
  });

  test('hands errors on with their codes, and goes on working', async () => {
    const server = await PageServer.start();
    const { loaded, running } = server.serve({
      root: store.root,
      generationId: `gn${'0'.repeat(26)}`,
      socketPath: join(dir, 'nobody.sock'),
    });
    await expect(loaded).rejects.toMatchObject({ code: 'not_found' });
    await expect(running).rejects.toMatchObject({ code: 'not_found' });
    expect(server.isIdle).toBe(true);
    await server.kill();
  });

  test('hazard 7: that dies in the middle is noticed at once', async () => {
    const server = await PageServer.start();
    const draft = await store.begin();
    const capturing = server.capture({
      root: store.root,
      ramPath: '/dev/zero',
      pageCount: 2 ** 24,
      into: draft.captureTarget,
    });
    process.kill(server.pid, 'SIGKILL');
    await expect(capturing).rejects.toMatchObject({
      code: 'pause_failed',
      message: 'the page server ended in the middle of its work',
    });
    await draft.abandon();
  });
});

describe('the pool', () => {
  test('hazard 16: has one wait, starts more when they are needed, keeps those a little, and leaves none', async () => {
    const pool = new PageServerPool({ lingerMs: 500 });
    await pool.fill();
    const [first, second] = [await pool.acquire(), await pool.acquire()];
    expect(first.pid).not.toBe(second.pid);
    await pool.release(first);
    await pool.release(second);
    expect((await pool.acquire()).pid).toBe(second.pid);
    await pool.release(second);
    await expect.poll(() => isAlive(second.pid), { timeout: 10_000 }).toBe(false);
    expect((await pool.acquire()).pid).toBe(first.pid);
    await pool.release(first);
    process.kill(first.pid, 'SIGKILL');
    await expect.poll(() => isAlive(first.pid)).toBe(false);
    await expect.poll(() => first.isIdle).toBe(false);
    const third = await pool.acquire();
    expect(third.pid).not.toBe(first.pid);
    await pool.release(third);
    await pool.close();
    expect(isAlive(third.pid)).toBe(false);
  });
});
