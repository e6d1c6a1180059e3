import { readManifest } from '@dormouse/snapshot';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Sandbox } from '../actor/sandbox.js';
import { generationsDir } from '../config/host-config.js';
import { newSandboxId, type SandboxRequest } from '../config/sandbox-spec.js';
import { runInGuest } from '../testing/run-in-guest.js';
import { NOTHING, type VmHost, vmHost } from '../testing/vm-host.js';
import { REGION_PAGES, Witness } from '../testing/witness.js';

const MIB = 1024 * 1024;
const MEMORY_MB = 128;
const REQUEST: SandboxRequest = { template: 'base', envs: {}, internet: false };
/** Twenty by hand and in the soak; a handful is enough to notice what goes wrong from the second one on. */
const CYCLES = Number(process.env.DORMOUSE_CYCLES ?? 5);
/** A generous safety net for one of them, on a machine that has other things to do. */
const CYCLE_PATIENCE_MS = 120_000;
const PATIENCE = { timeout: 60_000, interval: 20 } as const;

let vm: VmHost;

beforeAll(async () => {
  vm = await vmHost({ memoryMb: MEMORY_MB });
  await vm.host.freezeTemplate('base');
});

afterEach(async () => {
  await Promise.all(vm.host.list().map(({ id }) => vm.host.destroy(id)));
  expect(await vm.presence()).toEqual(NOTHING);
  expect(vm.warnings.splice(0)).toEqual([]);
});

afterAll(async () => {
  await vm[Symbol.asyncDispose]();
});

async function newSandbox(): Promise<Sandbox> {
  return await vm.host.create(newSandboxId(), 1, REQUEST);
}

/** Pauses and resumes a sandbox; what it was paused in. */
async function pauseAndResume(sandbox: Sandbox, by: 'hand' | 'timeout' = 'hand'): Promise<string> {
  const { id, journal } = sandbox;
  if (by === 'hand') await vm.host.pause(id, journal.generation, 'full');
  else expect(await sandbox.expire(() => true)).toBe(true);
  expect(sandbox.journal.state).toBe('paused');
  // Its chain may be being shortened.
  await vm.host.settled();
  expect((await vm.presence()).processes).toEqual([]);
  const { generationId } = sandbox.journal.paused!;
  await vm.host.resume(id, journal.generation + 1);
  expect(sandbox.journal).toMatchObject({ state: 'running', resumedBy: 'memory' });
  return generationId;
}

function manifestOf(generationId: string) {
  return readManifest({ root: generationsDir(vm.config) }, generationId);
}

describe('a sandbox that is paused and resumed', () => {
  test(`hazard 2: keeps all memory and files, ${CYCLES} times in a row, while both change`, {
    timeout: CYCLES * CYCLE_PATIENCE_MS,
  }, async () => {
    const sandbox = await newSandbox();
    const witness = await Witness.start(sandbox);
    const { memoryAvailableBytes } = await (await sandbox.guest()).metrics();
    const fillBytes = Math.floor((Number(memoryAvailableBytes) * 0.6) / MIB) * MIB;
    await witness.fill('memory', 'fill', fillBytes);
    await witness.fill('disk', 'fill', 12 * MIB);
    const values = Array.from({ length: REGION_PAGES }, () => 0);
    let count = 0;
    for (let cycle = 1; cycle <= CYCLES; cycle++) {
      await witness.put('memory', `cycle-${cycle}`, 64 * 1024 + cycle);
      await witness.put('disk', `cycle-${cycle}`, MIB + cycle);
      await witness.blank('memory', 'fill', cycle * (MIB / 2), MIB / 4);
      await witness.blank('disk', 'fill', cycle * (MIB / 2), MIB / 4);
      if (cycle > 2) {
        await witness.remove('memory', `cycle-${cycle - 2}`);
        await witness.remove('disk', `cycle-${cycle - 2}`);
      }
      // Every other page changes every time, and a third of those becomes zero.
      const pages = new Map<number, number>();
      for (let page = cycle % 2; page < REGION_PAGES; page += 2) pages.set(page, page % 3 === 0 ? 0 : cycle);
      await witness.poke(pages);
      for (const [page, value] of pages) values[page] = value;
      count = await witness.bump();
      const before = await witness.state();
      const files = await witness.files();

      await pauseAndResume(sandbox, cycle % 2 === 0 ? 'timeout' : 'hand');

      const after = await witness.state();
      expect(await witness.files()).toEqual(files);
      expect(await witness.filesOnDisk()).toEqual(files.disk);
      expect(await witness.wrong(values)).toEqual([]);
      expect(after).toMatchObject({ pid: before.pid, count, nameless: before.nameless });
      expect(after.ticks).toBeGreaterThanOrEqual(before.ticks);
    }
    expect(count).toBe(CYCLES);
  });
});

describe('pages', () => {
  test('hazard 1: that become zero between two moments are zero, and others beside them are not', async () => {
    const sandbox = await newSandbox();
    const witness = await Witness.start(sandbox);
    const values = Array.from({ length: REGION_PAGES }, (_, page) => page + 1);
    await witness.poke(new Map(values.entries()));
    const first = await pauseAndResume(sandbox);
    // Untouched, zeroed, zeroed and written again, read and then written, written with what was there.
    for (let page = 0; page < REGION_PAGES; page += 1) if (page % 5 === 1 || page % 5 === 2) values[page] = 0;
    await witness.poke(new Map(values.entries()));
    for (let page = 2; page < REGION_PAGES; page += 5) values[page] = 5_000 + page;
    expect(await witness.wrong(values)).toEqual(Array.from({ length: 51 }, (_, n) => 2 + n * 5));
    for (let page = 3; page < REGION_PAGES; page += 5) values[page] = 9_000 + page;
    await witness.poke(new Map(values.entries()));
    const second = await pauseAndResume(sandbox);
    expect(await witness.wrong(values)).toEqual([]);
    // And again what was zero then, so that it comes out of a generation that says so.
    const third = await pauseAndResume(sandbox);
    expect(await witness.wrong(values)).toEqual([]);
    const counts = [first, second, third].map((id) => manifestOf(id).memory!.counts);
    expect(counts[1]!.zeroed).toBeGreaterThanOrEqual(51);
    expect(counts.map(({ unchanged, changed, zeroed, zero }) => unchanged + changed + zeroed + zero)).toEqual(
      counts.map(() => (MEMORY_MB * MIB) / 4096),
    );
  });

  test('hazard 3: are stored only where they have changed: a pause after one small command is small', async () => {
    const sandbox = await newSandbox();
    await pauseAndResume(sandbox);
    expect((await runInGuest(await sandbox.guest(), 'echo hi')).stdout).toBe('hi\n');
    await pauseAndResume(sandbox);
    expect((await runInGuest(await sandbox.guest(), 'echo hi')).stdout).toBe('hi\n');
    const idle = manifestOf(await pauseAndResume(sandbox));
    const stored = idle.artifacts['memory.pages']!.bytes + idle.artifacts['memory.map']!.bytes;
    process.stdout.write(
      `a pause after one command stores ${idle.memory!.counts.changed} pages, ${stored} bytes of memory, ${idle.ownBytes} in all\n`,
    );
    expect(idle.ownBytes).toBeLessThanOrEqual(0.02 * MEMORY_MB * MIB);
  });
});

describe('moments of moments', () => {
  test('hazards 2 and 19: eight generations of forks and snapshots deep everything is there, also when the chain was copied into one and what is not needed was collected', async () => {
    let sandbox = await newSandbox();
    await Witness.start(sandbox);
    await vm.host.collect(0);
    const frozen = (await vm.remains()).generations;
    expect(frozen.length).toBeLessThanOrEqual(2);
    const values = Array.from({ length: REGION_PAGES }, () => 0);
    const expected: Record<'memory' | 'disk', Record<string, string>> = { memory: {}, disk: {} };
    const begun = await new Witness(sandbox).state();
    for (let depth = 1; depth <= 8; depth++) {
      const witness = new Witness(sandbox);
      for (const place of ['memory', 'disk'] as const) {
        expected[place][`depth-${depth}`] = await witness.put(place, `depth-${depth}`, 10_000 * depth);
      }
      const pages = new Map<number, number>();
      for (let page = depth; page < REGION_PAGES; page += 8) pages.set(page, page % 7 === 0 ? 0 : depth);
      for (const [page, value] of pages) values[page] = value;
      await witness.poke(pages);
      expect(await witness.bump()).toBe(depth);
      const childId = newSandboxId();
      if (depth % 2 === 0) {
        const snapshotId = newSandboxId().replace('sb', 'sn');
        await vm.host.createSnapshot(snapshotId, sandbox.id, 'full');
        await vm.host.create(childId, 1, { ...REQUEST, snapshotId });
        await vm.host.deleteSnapshot(snapshotId);
      } else {
        const [result] = await vm.host.fork(sandbox.id, [{ id: childId, generation: 1 }]);
        expect(result).toHaveProperty('sandbox');
      }
      await vm.host.destroy(sandbox.id);
      sandbox = vm.host.get(childId);
    }
    const check = async (): Promise<void> => {
      const witness = new Witness(sandbox);
      expect(await witness.files()).toEqual(expected);
      expect(await witness.filesOnDisk()).toEqual(expected.disk);
      expect(await witness.wrong(values)).toEqual([]);
      const { pid, count, nameless } = await witness.state();
      expect({ pid, count, nameless }).toEqual({ pid: begun.pid, count: 8, nameless: begun.nameless });
    };
    await check();
    await vm.host.pause(sandbox.id, 1, 'full');
    const deep = sandbox.journal.paused!.generationId;
    expect(manifestOf(deep).memory!.sources.length).toBeGreaterThanOrEqual(8);
    await expect.poll(() => sandbox.journal.paused!.generationId, PATIENCE).not.toBe(deep);
    const flat = sandbox.journal.paused!.generationId;
    expect(manifestOf(flat).memory!.sources).toEqual(frozen);
    await vm.host.collect(0);
    await vm.host.resume(sandbox.id, 2);
    expect(sandbox.journal.resumedBy).toBe('memory');
    await check();
    await sandbox.loaded();
    await vm.host.destroy(sandbox.id);
    await vm.host.collect(0);
    expect(await vm.remains()).toEqual({
      ...NOTHING,
      slots: [],
      layers: [],
      generations: frozen,
      unfinished: [],
    });
  });
});

describe('a pause that keeps the disk alone', () => {
  test('boots again from it: files are there, memory and processes are not', async () => {
    const sandbox = await newSandbox();
    const witness = await Witness.start(sandbox);
    const sha256 = await witness.put('disk', 'kept', 100_000);
    await witness.put('memory', 'lost', 1_000);
    const before = await (await sandbox.guest()).info();
    await vm.host.pause(sandbox.id, 1, 'disk');
    expect(sandbox.journal).toMatchObject({ state: 'paused', paused: { kind: 'disk' } });
    await vm.host.resume(sandbox.id, 2);
    expect(sandbox.journal).toMatchObject({ state: 'running', resumedBy: 'reboot' });
    const after = await (await sandbox.guest()).info();
    expect(after.bootId).not.toBe(before.bootId);
    const { stdout } = await runInGuest(
      await sandbox.guest(),
      'cd /home/user/witness; sha256sum kept; ls /dev/shm; pgrep python3',
    );
    expect(stdout).toBe(`${sha256}  kept\n`);
  });
});
