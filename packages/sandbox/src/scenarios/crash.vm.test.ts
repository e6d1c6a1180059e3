import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { layersDir } from '../config/host-config.js';
import { newSandboxId, type SandboxRequest } from '../config/sandbox-spec.js';
import type { CrashOperation } from '../testing/crash.js';
import { type CrashEnd, runCrash } from '../testing/run-crash.js';
import { NOTHING, type VmHost, vmHost } from '../testing/vm-host.js';
import { Witness } from '../testing/witness.js';
import {
  beginTestimony,
  continueTestimony,
  contradictions,
  type Testimony,
} from '../testing/witnessed-sandbox.js';

const REQUEST: SandboxRequest = { template: 'base', envs: {}, internet: false };

let vm: VmHost;
/** The sandbox that everything is done to, and what it must remember. */
let id: string;
let testimony: Testimony;
let round = 0;

beforeAll(async () => {
  vm = await vmHost({ memoryMb: 128 });
  await vm.host.freezeTemplate('base');
});

/** One sandbox goes through everything; another takes its place only where a test has failed. */
beforeEach(async () => {
  const state = vm.host.list().find((sandbox) => sandbox.id === id)?.journal.state;
  if (state === 'running' || state === 'paused') return;
  await Promise.all(vm.host.list().map((sandbox) => vm.host.destroy(sandbox.id)));
  id = newSandboxId();
  testimony = await beginTestimony(await vm.host.create(id, 1, REQUEST));
});

afterAll(async () => {
  await vm[Symbol.asyncDispose]();
});

/** Lets another agent do something and die, and takes over from it. */
async function crashAndReopen(operation: CrashOperation, dieAt: string | number): Promise<CrashEnd> {
  await vm.host.release();
  const { config, kernel } = vm;
  const end = await runCrash({ config, kernel, operation, dieAt });
  await vm.reopen();
  return end;
}

/** The sandbox is as it was, paused or not; then something in it changes. */
async function goOn(): Promise<void> {
  const sandbox = vm.host.get(id);
  if (sandbox.journal.state === 'paused') await vm.host.resume(id, sandbox.journal.generation + 1);
  expect(await contradictions(sandbox, testimony)).toEqual([]);
  round += 1;
  testimony = await continueTestimony(sandbox, testimony, round);
}

/** hazard 16: nothing is there but what the one sandbox has. */
async function expectNothingElse(): Promise<void> {
  // Until all memory is there a restore is under way, which ends with a working set being written.
  await vm.host.get(id).loaded();
  await vm.host.collect(0);
  const { vm: place, disk } = vm.host.get(id).journal;
  const remains = await vm.remains();
  expect({ ...remains, processes: remains.processes.length, layers: [], generations: [] }).toEqual({
    processes: 1,
    sandboxes: [id],
    memory: [place?.slot],
    slots: [place?.slot],
    layers: [],
    generations: [],
    unfinished: [],
  });
  // Other layers are there only as long as a generation has them too.
  for (const name of remains.layers) {
    const { nlink } = await stat(join(layersDir(vm.config), name));
    expect([name, nlink > 1 || disk?.layers.includes(name.replace('.qcow2', ''))]).toEqual([name, true]);
  }
  expect((await vm.pageServers()).length).toBeLessThanOrEqual(2);
}

describe('hazards 4, 5 and 16: an agent that is killed in the middle of', () => {
  test.each([
    ['freeze-begun', 'running'],
    ['held', 'running'],
    ['frozen', 'running'],
    ['captured', 'running'],
    ['committed', 'paused'],
    ['recorded', 'paused'],
    ['freed', 'paused'],
  ])('a pause, at %s, leaves a sandbox that is %s and has everything', async (step, state) => {
    const end = await crashAndReopen({ kind: 'pause', sandboxId: id }, step);
    expect(end).toMatchObject({ signal: 'SIGKILL', errors: '' });
    expect(vm.host.get(id).journal).toMatchObject({ state });
    if (state === 'paused') expect(await vm.presence()).toEqual({ ...NOTHING, sandboxes: [id] });
    await goOn();
    await expectNothingElse();
  });

  test.each([
    ['resume-begun', 'paused'],
    ['standby-ready', 'paused'],
    ['listening', 'paused'],
    ['running', 'paused'],
    ['awake', 'paused'],
    ['resumed', 'running'],
  ])('a resume, at %s, leaves a sandbox that is %s and has everything', async (step, state) => {
    await vm.host.pause(id, Number.MAX_SAFE_INTEGER, 'full');
    const end = await crashAndReopen({ kind: 'resume', sandboxId: id }, step);
    expect(end).toMatchObject({ signal: 'SIGKILL', errors: '' });
    expect(vm.host.get(id).journal).toMatchObject({ state });
    await goOn();
    await expectNothingElse();
  });

  test.each(['restore-broken', 'resumed'])(
    'a restore whose memory does not come, at %s, leaves a sandbox that runs again with its host and has everything',
    async (step) => {
      for (let attempt = 0; ; attempt++) {
        await vm.host.pause(id, Number.MAX_SAFE_INTEGER, 'full');
        const operation = { kind: 'resume without memory', sandboxId: id } as const;
        const end = await crashAndReopen(operation, step);
        if (end.signal === 'SIGKILL') break;
        // All memory was there before anybody could take it away.
        expect([end, attempt < 20]).toEqual([{ ...end, exitCode: 0, errors: '' }, true]);
      }
      const { state } = vm.host.get(id).journal;
      if (step === 'restore-broken') expect(state).toBe('paused');
      if (state === 'paused') expect(await vm.presence()).toEqual({ ...NOTHING, sandboxes: [id] });
      expect(await vm.host.resumeAll()).toBe(state === 'paused' ? 1 : 0);
      await expect.poll(() => vm.host.get(id).journal.state, { timeout: 60_000 }).toBe('running');
      await goOn();
      await expectNothingElse();
    },
  );

  test.each(['freeze-begun', 'held', 'frozen', 'layer-pushed', 'captured', 'committed'])(
    'a snapshot, at %s, leaves the sandbox running, and no snapshot',
    async (step) => {
      const newId = newSandboxId().replace('sb', 'sn');
      const end = await crashAndReopen({ kind: 'snapshot', sandboxId: id, newId }, step);
      expect(end).toMatchObject({ signal: 'SIGKILL', errors: '' });
      expect(vm.host.get(id).journal).toMatchObject({ state: 'running' });
      expect(vm.host.listSnapshots()).toEqual([]);
      await goOn();
      await expectNothingElse();
    },
  );

  test.each(['committed', 'resume-begun', 'standby-ready', 'listening', 'running', 'awake'])(
    'a fork, at %s, leaves the sandbox running, and no child',
    async (step) => {
      const end = await crashAndReopen({ kind: 'fork', sandboxId: id, newId: newSandboxId() }, step);
      expect(end).toMatchObject({ signal: 'SIGKILL', errors: '' });
      expect(vm.host.list().map((sandbox) => sandbox.id)).toEqual([id]);
      expect(vm.host.get(id).journal).toMatchObject({ state: 'running' });
      await goOn();
      await expectNothingElse();
    },
  );

  test.each(['disk-begun', 'committed', 'recorded', 'freed'])(
    'keeping the disk of a VM that has ended, at %s, leaves a sandbox that is paused and has its disk',
    async (step) => {
      // A VM whose memory is still coming would be restored again.
      await vm.host.get(id).loaded();
      await vm.host.get(id).replacePaused('', '');
      const written = await new Witness(vm.host.get(id)).filesOnDisk();
      const end = await crashAndReopen({ kind: 'lose the VM', sandboxId: id }, step);
      expect(end).toMatchObject({ signal: 'SIGKILL', errors: '' });
      const { journal } = vm.host.get(id);
      expect(journal).toMatchObject({ state: 'paused', paused: { kind: 'disk', cause: 'vm_ended' } });
      expect(await vm.presence()).toEqual({ ...NOTHING, sandboxes: [id] });
      await vm.host.resume(id, journal.generation + 1);
      expect(vm.host.get(id).journal.resumedBy).toBe('reboot');
      expect(await new Witness(vm.host.get(id)).filesOnDisk()).toEqual(written);
      await expectNothingElse();
      await vm.host.destroy(id);
    },
  );

  test('a deletion, before any of its changes to the disk, leaves the sandbox or nothing of it', async () => {
    const seen = new Set<string>();
    for (let change = 0; ; change++) {
      const victim = newSandboxId();
      await vm.host.fork(id, [{ id: victim, generation: 1 }]);
      const end = await crashAndReopen({ kind: 'destroy', sandboxId: victim }, change);
      expect(end.errors).toBe('');
      const left = vm.host.list().find((sandbox) => sandbox.id === victim);
      seen.add(left?.journal.state ?? 'gone');
      await vm.host.destroy(victim);
      await expectNothingElse();
      if (end.signal === null) break;
      expect(end.signal).toBe('SIGKILL');
    }
    expect([...seen].toSorted()).toEqual(['gone', 'running']);
    await goOn();
  });

  test('a collection, before any of its changes to the disk, removes nothing that is needed', async () => {
    await vm.host.collect(0);
    const { generations } = await vm.remains();
    for (let change = 0; ; change++) {
      const victim = newSandboxId();
      await vm.host.fork(id, [{ id: victim, generation: 1 }]);
      await vm.host.pause(victim, 1, 'full');
      await vm.host.destroy(victim);
      const needed = new Set([...generations, ...referredTo()]);
      const end = await crashAndReopen({ kind: 'collect' }, change);
      expect(end.errors).toBe('');
      const left = (await vm.remains()).generations;
      expect([...needed].filter((generation) => !left.includes(generation))).toEqual([]);
      await expectNothingElse();
      if (end.signal === null) break;
      expect(end.signal).toBe('SIGKILL');
    }
    await goOn();
  });
});

/** The generations that the sandbox's own journal names. */
function referredTo(): readonly string[] {
  const { memoryBase, disk } = vm.host.get(id).journal;
  return [
    ...(memoryBase === undefined ? [] : [memoryBase]),
    ...(disk?.base.kind === 'generation' ? [disk.base.id] : []),
  ];
}
