import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GenerationStore, openMemory } from '@dormouse/snapshot';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { capture } from './capture.js';
import { PageServer, type Patience } from './page-server.js';
import { PageServerPool } from './page-server-pool.js';

const PAGE_BYTES = 4096;
const PAGES = 64;
const MACHINE = { vmm: 'none' };
/** Devices of a guest of this size, as QEMU has saved them. */
const RECORDED = new URL('../../qemu-stream/src/testing/fixtures/devices.bin', import.meta.url);
const RECORDED_BYTES = 256 * 1024 * 1024;

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

describe('hazard 7: a page server that hangs without ending', () => {
  const PATIENCE = { pingIntervalMs: 20, silenceLimitMs: 200 };

  test('while it serves is ended, and the restore fails', async () => {
    const { server, loaded, socket } = await serving(PATIENCE);
    process.kill(server.pid, 'SIGSTOP');
    await expect(loaded).rejects.toMatchObject({
      code: 'restore_failed',
      message: 'the page server ended in the middle of its work',
    });
    await expect.poll(() => isAlive(server.pid)).toBe(false);
    socket.destroy();
  });

  test('while it serves, and answers, is left alone', async () => {
    const { server, loaded, socket } = await serving(PATIENCE);
    const result = await Promise.race([
      loaded.catch(() => 'failed'),
      new Promise((resolve) => setTimeout(() => resolve('serves'), 1_000)),
    ]);
    expect(result).toBe('serves');
    loaded.catch(() => {});
    await server.kill();
    socket.destroy();
  });

  test('while it captures is ended by the signal', async () => {
    const server = await PageServer.start();
    const draft = await store.begin();
    const abort = new AbortController();
    const job = { root: store.root, ramPath: '/dev/zero', pageCount: 2 ** 24, into: draft.captureTarget };
    const capturing = server.capture(job, abort.signal);
    process.kill(server.pid, 'SIGSTOP');
    abort.abort();
    await expect(capturing).rejects.toMatchObject({ code: 'pause_failed' });
    await expect.poll(() => isAlive(server.pid)).toBe(false);
    await draft.abandon();
  });
});

test('hazard 7: a page server whose restore fails after its agent has died keeps its connection until the VM ends', async () => {
  const { server, loaded, socket } = await serving();
  server.letGo();
  const closed = once(socket, 'close').then(() => 'closed');
  // A request for a block that there is none of fails the restore.
  socket.write(Buffer.from('000300110000000000000000000010000474776f73', 'hex'));
  const later = new Promise((resolve) => setTimeout(() => resolve('open'), 1_000));
  expect(await Promise.race([closed, later])).toBe('open');
  expect(isAlive(server.pid)).toBe(true);
  socket.destroy();
  await expect.poll(() => isAlive(server.pid), { timeout: 10_000 }).toBe(false);
  await expect(loaded).rejects.toMatchObject({ code: 'restore_failed' });
});

/** A page server in the middle of a restore: what it has sent is read, and the VM says nothing. */
async function serving(patience?: Patience) {
  const ramPath = join(dir, 'ram');
  await writeFile(ramPath, randomBytes(PAGE_BYTES));
  await truncate(ramPath, RECORDED_BYTES);
  await using draft = await store.begin();
  const pageCount = RECORDED_BYTES / PAGE_BYTES;
  const { counts } = capture({
    kind: 'capture',
    root: store.root,
    ramPath,
    pageCount,
    into: draft.captureTarget,
  });
  await draft.write('device.bin', await readFile(RECORDED));
  await draft.write('disk.qcow2', Buffer.from('x'));
  const { id } = await draft.commit({ kind: 'full', machine: MACHINE, counts });
  const socketPath = join(dir, 'incoming.sock');
  const listener = createServer();
  listener.listen(socketPath);
  await once(listener, 'listening');
  const connected = once(listener, 'connection') as Promise<[Socket]>;
  const server = await PageServer.start(patience);
  const { running, loaded } = server.serve({ root: store.root, generationId: id, socketPath });
  running.catch(() => {});
  const [socket] = await connected;
  listener.close();
  socket.on('error', () => {});
  socket.resume();
  return { server, loaded, socket };
}

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
