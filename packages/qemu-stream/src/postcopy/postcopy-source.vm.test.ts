import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { DormouseError } from '@dormouse/errors';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseSavedStream } from '../saved/saved-stream.js';
import { RamPages } from '../testing/ram-pages.js';
import { type TemporaryDirectory, temporaryDirectory } from '../testing/temporary-directory.js';
import { type GuestAssets, guestAssets } from '../testing/test-initramfs.js';
import { TestVm } from '../testing/test-vm.js';
import { PostcopySource } from './postcopy-source.js';
import type { RestoreOptions } from './restore-options.js';

const FILL = 'dd if=/dev/urandom of=random bs=1M count=16 status=none';
const HASH = 'sha256sum < random';

/** A frozen guest: what QEMU saved, its memory, and the hash of what it holds. */
interface Saved {
  readonly stream: Buffer;
  readonly ram: Buffer;
  readonly hash: string;
}

let folder: TemporaryDirectory;
let assets: GuestAssets;
let saved: Saved;

beforeAll(async () => {
  folder = await temporaryDirectory();
  assets = await guestAssets(folder.path);
  await using vm = await TestVm.start(assets);
  await vm.shell.ready();
  const hash = await vm.shell.run(`${FILL}; ${HASH}`);
  expect(hash).toMatch(/^[0-9a-f]{64} {2}-$/);
  const stream = await vm.freeze();
  saved = { stream, ram: await readFile(vm.memoryPath), hash };
});

afterAll(() => folder[Symbol.asyncDispose]());

/** A second QEMU, and a source for it that has not begun. */
async function restoring(
  options: RestoreOptions = {},
  from: Saved = saved,
): Promise<{ vm: TestVm; pages: RamPages; source: PostcopySource }> {
  const vm = await TestVm.start(assets, { incoming: true });
  const pages = new RamPages(from.ram);
  const connection = await vm.accept();
  const source = new PostcopySource(connection, parseSavedStream(from.stream), pages, options);
  return { vm, pages, source };
}

function sum(...parts: readonly number[]): number {
  return parts.reduce((total, part) => total + part, 0);
}

describe('a guest that is restored lazily', () => {
  test('has its memory, with and without a working set, and can be frozen again', async () => {
    const { vm, pages, source } = await restoring();
    await using first = vm;
    const cold = await Promise.all([source.run(), first.shell.run('echo hello')]);
    expect(cold[1]).toBe('hello');
    expect(await first.shell.run(HASH)).toBe(saved.hash);
    expect(await first.qmp.migrationIs('completed', 'failed')).toBe('completed');
    const [statistics] = cold;
    // Every page that is not zero was sent exactly once, and nobody but the guest had a zero one sent.
    const zeros = statistics.requestedPages.filter((page) => pages.nextPopulated(page) !== page).length;
    const roms = parseSavedStream(saved.stream).ram.pages.length;
    expect(pages.reads).toBe(pages.populated + zeros);
    expect(sum(statistics.answered, statistics.pushed, statistics.sentAhead)).toBe(pages.populated + zeros);
    expect(roms).toBe(19);
    expect(statistics.requests).toBeGreaterThan(100);
    expect(new Set(statistics.requestedPages).size).toBe(statistics.requestedPages.length);

    const warm = await restoring({ workingSet: statistics.requestedPages });
    await using second = warm.vm;
    const [warmStatistics, hello] = await Promise.all([
      warm.source.run(),
      second.shell.run('echo hello again'),
    ]);
    expect(hello).toBe('hello again');
    expect(warmStatistics.sentAhead).toBe(statistics.requestedPages.length);
    expect(warmStatistics.requests).toBeLessThan(statistics.requests / 10);
    expect(await second.shell.run(HASH)).toBe(saved.hash);

    const refilled = await second.shell.run(`${FILL}; ${HASH}`);
    const stream = await second.freeze();
    const again = { stream, ram: await readFile(second.memoryPath), hash: refilled };
    expect(createHash('sha256').update(again.ram).digest('hex')).not.toBe(
      createHash('sha256').update(saved.ram).digest('hex'),
    );
    const third = await restoring({}, again);
    await using lastVm = third.vm;
    await third.source.run();
    expect(await lastVm.shell.run(HASH)).toBe(refilled);
  });

  test.each([1, 16])(
    'has its memory when the guest reads it all at once, by clusters of %i',
    async (clusterPages) => {
      const { vm, source } = await restoring({
        clusterPages,
        // On a busy machine a guest may be silent for a while without having all it reads.
        background: { quietMs: 1_000, atLatestMs: 20_000 },
      });
      await using restored = vm;
      const [statistics, hash] = await Promise.all([source.run(), restored.shell.run(HASH)]);
      expect(hash).toBe(saved.hash);
      expect(statistics.requests).toBeGreaterThan(500);
    },
  );

  test('reads zeros where nothing was sent', async () => {
    const { vm, source } = await restoring();
    await using restored = vm;
    await source.run();
    const zeros = 'head -c 50M /dev/zero | sha256sum';
    expect(await restored.shell.run(`head -c 50M /dev/zero > new; sha256sum < new`)).toBe(
      await restored.shell.run(zeros),
    );
    expect(await restored.shell.run(HASH)).toBe(saved.hash);
  });
});

describe('hazard 7: a restore that goes wrong ends with an error, when', () => {
  test('the VM dies on the way', async () => {
    const { vm, source } = await restoring({ onRequest: () => void vm.kill() });
    await using restored = vm;
    await expect(source.run()).rejects.toMatchObject({ code: 'restore_failed' });
    await restored.kill();
  });

  test('the VM refuses because it is no post-copy destination', async () => {
    await using vm = await TestVm.start(assets, { incoming: true });
    const connection = await vm.accept(['x-ignore-shared']);
    const source = new PostcopySource(connection, parseSavedStream(saved.stream), new RamPages(saved.ram));
    await expect(source.run()).rejects.toMatchObject({ code: 'restore_failed' });
  });

  test('hazard 6: a page cannot be verified: nothing of it is sent and the VM never gets all of its memory', async () => {
    const { vm, pages, source } = await restoring();
    await using restored = vm;
    const error = new DormouseError('snapshot_corrupt', 'a flipped bit');
    pages.beforeRead = () => {
      if (pages.reads > 1000) throw error;
    };
    await expect(source.run()).rejects.toBe(error);
    expect(pages.reads).toBe(1001);
    await restored.kill();
  });

  test('the caller gives up: the VM stands still, deaf even to its control socket, until it is killed', async () => {
    const abort = new AbortController();
    const { vm, source } = await restoring({ signal: abort.signal, onRunning: () => abort.abort() });
    await using restored = vm;
    await expect(source.run()).rejects.toMatchObject({
      code: 'cancelled',
      message: 'the lazy restore was cancelled',
    });
    await restored.kill();
  });
});
