import { rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { GenerationStore } from '@dormouse/snapshot';
import { describe, expect, test } from 'vitest';
import { generationsDir, layersDir, sandboxPaths } from '../config/host-config.js';
import { newSandboxId } from '../config/sandbox-spec.js';
import { freezing, type RunningJournal, snapshotting } from '../records/journal.js';
import { writeJournal } from '../records/journal-file.js';
import { injectFaults } from '../testing/faults.js';
import { MODEL_REQUEST, ModelHost, NO_REMAINS, words } from '../testing/model/model-host.js';

const NO_MEMORY_SERVER = new DormouseError('pause_failed', 'the capture failed');

/** Nothing is left of a host once everything on it is deleted. */
async function expectNothingLeft(model: ModelHost): Promise<void> {
  for (const { id } of model.host.listSnapshots()) await model.host.deleteSnapshot(id);
  for (const { id } of model.host.list()) await model.host.destroy(id);
  await model.host.settled();
  await model.host.collect(-1);
  expect(await model.remains()).toEqual(NO_REMAINS);
}

/** Lets every write below the data directory fail until it is restored, as a full disk does. */
async function fullDisk({ config }: ModelHost) {
  const needRoom = ['writeFile', 'FileHandle.write', 'FileHandle.datasync', 'copyFile', 'link'];
  return await injectFaults(({ name, path }) =>
    needRoom.includes(name) && (path === '' || path.startsWith(config.dataDir)) ? 'ENOSPC' : undefined,
  );
}

test('a model of a sandbox remembers through pause, resume, checkpoint, fork and spawn', async () => {
  await using model = await ModelHost.open();
  const id = await model.create('one');
  await model.pause(id);
  expect((await model.remains()).vms).toBe(0);
  await model.resume(id);
  model.remember(id, 'two');
  const snapshot = await model.snapshot(id);
  model.remember(id, 'three');
  await model.reopen();
  expect(model.vm(id).content()).toEqual(words('one', 'two', 'three'));
  expect(await model.content(await model.spawn(snapshot))).toEqual(words('one', 'two'));
  await model.pause(id);
  expect(await model.content(id)).toEqual(words('one', 'two', 'three'));
  await expectNothingLeft(model);
  expect(model.warnings).toEqual([]);
});

describe('hazard 5: after a checkpoint that failed once its layer was pushed', () => {
  async function failedCheckpoint(model: ModelHost): Promise<string> {
    const id = await model.create('one');
    model.machines.faults.capture = NO_MEMORY_SERVER;
    await expect(model.snapshot(id)).rejects.toMatchObject({ code: 'pause_failed' });
    expect(model.host.get(id).journal.disk?.layers).toHaveLength(2);
    model.remember(id, 'two');
    return id;
  }

  test('a pause leaves a sandbox that can be resumed, forked and booted', async () => {
    await using model = await ModelHost.open();
    const id = await failedCheckpoint(model);
    await model.pause(id);
    const child = newSandboxId();
    await model.host.fork(id, [{ id: child, generation: 1 }]);
    expect(await model.content(child)).toEqual(words('one', 'two'));
    expect(await model.content(id)).toEqual(words('one', 'two'));
    await model.pause(id);
    await model.host.resume(id, 99, { reboot: true });
    expect(model.vm(id).content().disk).toBe(words('one', 'two').disk);
    await expectNothingLeft(model);
  });

  test('a sandbox that an earlier agent has paused so, and whose lower layer has lost its name, is resumed', async () => {
    await using model = await ModelHost.open();
    const id = await failedCheckpoint(model);
    const lower = model.host.get(id).journal.disk!.layers[1]!;
    await model.pause(id);
    await rm(join(layersDir(model.config), `${lower}.qcow2`));
    expect(await model.content(id)).toEqual(words('one', 'two'));
    await expectNothingLeft(model);
  });

  test('a collection in the middle of the next pause takes nothing that it needs', async () => {
    let model: ModelHost | undefined;
    let isOn = false;
    await using opened = await ModelHost.open({
      onStep: async () => {
        if (isOn) await model?.host.collect(-1);
      },
    });
    model = opened;
    const id = await failedCheckpoint(model);
    isOn = true;
    await model.snapshot(id);
    await model.pause(id);
    isOn = false;
    expect(await model.content(id)).toEqual(words('one', 'two'));
    await expectNothingLeft(model);
  });
});

describe('hazard 4: a topmost layer that a power cut has left', () => {
  const LEFT: readonly (readonly [string, (path: string) => Promise<void>])[] = [
    ['as zeros', (path) => stat(path).then(({ size }) => writeFile(path, Buffer.alloc(size)))],
    ['empty', (path) => truncate(path, 0)],
    ['without a file', (path) => rm(path)],
    ['with something else in it', (path) => writeFile(path, 'x'.repeat(100_000))],
  ];

  test.each(LEFT)('%s was never written to: the sandbox is what it lay on', async (_how, damage) => {
    await using model = await ModelHost.open();
    const id = await model.create('one');
    await model.pause(id);
    await model.resume(id);
    const [top] = model.host.get(id).journal.disk!.layers;
    model.machines.cutPower();
    await damage(join(layersDir(model.config), `${top}.qcow2`));
    await model.reopen();
    expect(model.host.get(id).journal).toMatchObject({
      state: 'paused',
      paused: { kind: 'disk', cause: 'vm_ended' },
    });
    expect((await model.content(id)).disk).toBe(words('one').disk);
    expect(model.warnings).toContain('a disk layer is not used; the disk below it is');
  });

  test.each(LEFT)('%s, of a sandbox that was just made: it boots from its image', async (_how, damage) => {
    await using model = await ModelHost.open();
    const id = newSandboxId();
    await model.host.create(id, 1, MODEL_REQUEST);
    const [top] = model.host.get(id).journal.disk!.layers;
    model.machines.cutPower();
    await damage(join(layersDir(model.config), `${top}.qcow2`));
    await model.reopen();
    expect((await model.content(id)).disk).toBe('');
    model.remember(id, 'one');
    await model.pause(id);
    expect((await model.content(id)).disk).toBe(words('one').disk);
  });
});

describe('hazards 9 and 18: a host agent that takes over with a full disk', () => {
  test.each<[string, (journal: RunningJournal) => Parameters<typeof writeJournal>[1]]>([
    ['snapshotting', (journal) => snapshotting(journal)],
    ['pausing', (journal) => freezing(journal, `gn${'0'.repeat(26)}`, undefined)],
  ])('ends no VM that answers, though its sandbox was %s, and records it later', async (_state, left) => {
    await using model = await ModelHost.open();
    const id = await model.create('one');
    const vm = model.vm(id);
    const { journal } = model.host.get(id);
    await model.host.release();
    await writeJournal(sandboxPaths(model.config, id).journal, left(journal as RunningJournal));
    await vm.freeze();
    using full = await fullDisk(model);
    await model.reopen();
    expect(vm.isAlive).toBe(true);
    full.restore();
    await expect.poll(() => [model.host.get(id).journal.state, vm.runs]).toEqual(['running', true]);
    expect(model.vm(id).content()).toEqual(words('one'));
    await model.pause(id);
    expect(await model.content(id)).toEqual(words('one'));
  });

  test('keeps the disk of a VM that has ended as soon as there is room', async () => {
    await using model = await ModelHost.open();
    const id = await model.create('one');
    await model.host.release();
    model.machines.cutPower();
    using full = await fullDisk(model);
    await model.reopen();
    expect(model.host.get(id).journal.state).not.toBe('stopped');
    await expect(model.resume(id)).rejects.toMatchObject({
      code: 'unavailable',
      message: 'the host agent could not keep the disk of a VM that has ended yet',
    });
    full.restore();
    await expect.poll(() => model.host.get(id).journal.state).toBe('paused');
    expect((await model.content(id)).disk).toBe(words('one').disk);
  });
});

test('hazard 5: a VM that ends while it is taken over loses nothing that was on its disk', async () => {
  await using model = await ModelHost.open();
  const id = await model.create('one');
  await model.pause(id);
  await model.resume(id);
  model.remember(id, 'two');
  const vm = model.vm(id);
  const attach = model.machines.attach.bind(model.machines);
  model.machines.attach = async (identity) => {
    const attached = await attach(identity);
    vm.end();
    return attached;
  };
  await model.reopen();
  await expect.poll(() => model.host.get(id).journal.state).toBe('paused');
  expect((await model.content(id)).disk).toBe(words('one', 'two').disk);
});

describe('hazard 5: a layer that the VM may or may not have taken', () => {
  test.each(['before', 'after'] as const)(
    'is known by asking the VM, which failed %s it had it, and what it writes is kept',
    async (when) => {
      await using model = await ModelHost.open();
      const id = await model.create('one');
      const vm = model.vm(id);
      vm.faults.push = when;
      await expect(model.snapshot(id)).rejects.toMatchObject({ code: 'pause_failed' });
      vm.faults.push = undefined;
      expect(model.host.get(id).journal.disk?.layers).toHaveLength(when === 'before' ? 1 : 2);
      model.remember(id, 'two');
      await model.pause(id);
      expect(await model.content(id)).toEqual(words('one', 'two'));
      await expectNothingLeft(model);
    },
  );

  test('of a VM that does not answer any more: the VM is lost, its disk is not', async () => {
    await using model = await ModelHost.open();
    const id = await model.create('one');
    const vm = model.vm(id);
    vm.faults.push = 'after';
    const push = vm.pushLayer.bind(vm);
    vm.pushLayer = async (path) => {
      vm.faults.silent = false;
      try {
        await push(path);
      } finally {
        vm.faults.silent = true;
      }
    };
    await expect(model.snapshot(id)).rejects.toMatchObject({ code: 'pause_failed' });
    await expect.poll(() => model.host.get(id).journal.state).toBe('paused');
    expect(vm.isAlive).toBe(false);
    expect((await model.content(id)).disk).toBe(words('one').disk);
    await expectNothingLeft(model);
  });
});

test('hazard 5: a sandbox whose removal has failed before it removed anything goes on as before', async () => {
  await using model = await ModelHost.open();
  const id = await model.create('one');
  const { dir } = sandboxPaths(model.config, id);
  const faults = await injectFaults(({ name, path }) =>
    name === 'rename' && path === dir ? 'EIO' : undefined,
  );
  await expect(model.host.destroy(id)).rejects.toMatchObject({ code: 'EIO' });
  faults.restore();
  await model.pause(id);
  expect(await model.content(id)).toEqual(words('one'));
  await expectNothingLeft(model);
});

test('hazard 16: a snapshot that was refused is none for the next agent either', async () => {
  await using model = await ModelHost.open();
  const id = await model.create('one');
  const faults = await injectFaults(({ name, path }) =>
    name === 'open' && path.endsWith('/snapshots') ? 'EIO' : undefined,
  );
  await expect(model.snapshot(id)).rejects.toMatchObject({ code: 'EIO' });
  faults.restore();
  await model.reopen();
  expect(model.host.listSnapshots()).toEqual([]);
  await expectNothingLeft(model);
});

describe('hazard 18: with a full disk', () => {
  test.each(['running', 'paused'] as const)(
    'a %s sandbox is deleted, and nothing of it is left',
    async (state) => {
      await using model = await ModelHost.open();
      const id = await model.create('one');
      if (state === 'paused') await model.pause(id);
      using full = await fullDisk(model);
      await model.host.destroy(id);
      expect(model.host.list()).toEqual([]);
      expect(await model.remains()).toMatchObject({ sandboxes: [], memory: [], slots: [], vms: 0 });
      full.restore();
      await expectNothingLeft(model);
    },
  );

  test('a pause that fails leaves a sandbox that runs on, and a later one succeeds without a restart', async () => {
    await using model = await ModelHost.open();
    const id = await model.create('one');
    let isFull = false;
    const { dataDir } = model.config;
    using faults = await injectFaults(({ name, path }) =>
      isFull && (name === 'writeFile' || name === 'link') && path.startsWith(dataDir) ? 'ENOSPC' : undefined,
    );
    const vm = model.vm(id);
    const freeze = vm.freeze.bind(vm);
    vm.freeze = async () => {
      // From here on nothing can be written: neither the generation nor the way back in the journal.
      isFull = true;
      return await freeze();
    };
    await expect(model.pause(id)).rejects.toMatchObject({ code: 'no_space' });
    expect([model.host.get(id).journal.state, vm.runs]).toEqual(['running', true]);
    model.remember(id, 'two');
    vm.freeze = freeze;
    faults.restore();
    await model.pause(id);
    expect(await model.content(id)).toEqual(words('one', 'two'));
  });

  test('a pause whose generation is durable goes forward, and the journal follows when there is room', async () => {
    let isFull = false;
    await using model = await ModelHost.open({
      onStep: (step) => {
        if (step === 'committed') isFull = true;
      },
    });
    const id = await model.create('one');
    const { dataDir } = model.config;
    using faults = await injectFaults(({ name, path }) =>
      isFull && name === 'writeFile' && path.startsWith(dataDir) ? 'ENOSPC' : undefined,
    );
    await model.pause(id);
    expect(model.host.get(id).journal.state).toBe('paused');
    expect((await model.remains()).vms).toBe(0);
    faults.restore();
    // The next agent comes to the same from the journal as it was written last, or as it was written since.
    await model.reopen();
    expect(model.host.get(id).journal.state).toBe('paused');
    expect(await model.content(id)).toEqual(words('one'));
  });

  test('a restore that fails while the way back cannot be written leaves the sandbox paused, and it can be resumed', async () => {
    await using model = await ModelHost.open();
    const id = await model.create('one');
    await model.pause(id);
    model.machines.faults.acquire = new DormouseError('internal', 'no memory server');
    let isFull = false;
    const journal = sandboxPaths(model.config, id).journal;
    using faults = await injectFaults(({ name, path }) => {
      if (name === 'writeFile' && path.startsWith(journal) && isFull) return 'ENOSPC';
      if (name === 'writeFile' && path.startsWith(journal)) isFull = true;
      return undefined;
    });
    await expect(model.resume(id)).rejects.toMatchObject({ code: 'internal' });
    expect(model.host.get(id).journal.state).toBe('paused');
    faults.restore();
    model.machines.faults.acquire = undefined;
    expect(await model.content(id)).toEqual(words('one'));
  });
});

describe('hazard 16: a restore that fails early', () => {
  test('gives back what comes only after the failure', async () => {
    await using model = await ModelHost.open();
    const id = await model.create('one');
    await model.pause(id);
    const { layers } = await model.remains();
    model.machines.faults.acquire = new DormouseError('internal', 'no memory server');
    await expect(model.resume(id)).rejects.toMatchObject({ code: 'internal' });
    model.machines.faults.acquire = undefined;
    expect(await model.remains()).toMatchObject({ layers, memory: [], slots: [], vms: 0 });
    expect(await model.content(id)).toEqual(words('one'));
    await expectNothingLeft(model);
  });

  test('gives back all the rest when one part cannot be given back', async () => {
    await using model = await ModelHost.open();
    const id = await model.create('one');
    await model.pause(id);
    model.machines.faults.acquire = new DormouseError('internal', 'no memory server');
    const { layers } = await model.remains();
    const vms = join(model.config.dataDir, 'vms');
    using faults = await injectFaults(({ name, path }) =>
      name === 'rm' && path.startsWith(vms) && !path.endsWith('run') ? 'EIO' : undefined,
    );
    await expect(model.resume(id)).rejects.toMatchObject({ code: 'internal' });
    faults.restore();
    expect(await model.remains()).toMatchObject({ layers, vms: 0 });
    expect(model.warnings.join()).toContain('could not free all that a failed restore has held');
    model.machines.faults.acquire = undefined;
    expect(await model.content(id)).toEqual(words('one'));
  });
});

describe('hazard 19: checkpoints without a pause', () => {
  test('keep their chains short in the background, and can be made without end', {
    timeout: 300_000,
  }, async () => {
    await using model = await ModelHost.open({ chains: { maxSources: 8 } });
    const id = await model.create('w');
    const snapshots: string[] = [];
    for (let count = 0; count < 30; count++) {
      snapshots.push(await model.snapshot(id));
      await model.host.settled();
      if (snapshots.length > 2) await model.host.deleteSnapshot(snapshots.shift()!);
    }
    const store = await GenerationStore.open(generationsDir(model.config));
    const base = model.host.get(id).journal.memoryBase!;
    expect(store.read(base).memory!.sources.length).toBeLessThanOrEqual(9);
    await model.pause(id);
    expect(await model.content(id)).toEqual(words('w'));
  });

  test('end a chain that nothing has shortened with a capture that has everything', {
    timeout: 300_000,
  }, async () => {
    await using model = await ModelHost.open({ chains: { maxSources: 1_000 } });
    const id = await model.create('w');
    const store = await GenerationStore.open(generationsDir(model.config));
    let longest = 0;
    const expected = ['w'];
    for (let count = 0; count < 70; count++) {
      model.remember(id, 'w');
      expected.push('w');
      await model.snapshot(id);
      longest = Math.max(longest, store.read(model.host.get(id).journal.memoryBase!).memory!.sources.length);
    }
    expect(longest).toBeLessThanOrEqual(64);
    await model.pause(id);
    expect(await model.content(id)).toEqual(words(...expected));
  });
});

describe('hazard 8: at once', () => {
  test('the same snapshot asked for twice is made once', async () => {
    await using model = await ModelHost.open();
    const id = await model.create('one');
    const snapshotId = newSandboxId().replace('sb', 'sn');
    const make = () => model.host.createSnapshot(snapshotId, id, 'full');
    const [first, second] = await Promise.all([make(), make()]);
    expect(second).toBe(first);
    expect((await model.remains()).generations).toHaveLength(1);
  });

  test('many resumes are admitted only as far as there is memory', async () => {
    await using model = await ModelHost.open();
    const ids: string[] = [];
    for (let count = 0; count < 5; count++) ids.push(await model.create());
    for (const id of ids) await model.pause(id);
    // Four times its tmpfs may be promised: of guests that need nine tenths of it each, four.
    const { memoryTotalBytes } = await model.host.room();
    const memoryMb = Math.floor((memoryTotalBytes * 0.9) / (1024 * 1024));
    for (const { spec } of model.host.list()) Object.assign(spec, { memoryMb });
    const results = await Promise.allSettled(ids.map((id) => model.resume(id)));
    const reasons = results.map((one) =>
      one.status === 'rejected' ? (one.reason as DormouseError).code : 'admitted',
    );
    expect(reasons.filter((reason) => reason === 'no_capacity')).toHaveLength(1);
  });
});

test('hazard 6: a running sandbox whose base is damaged is paused with all of its memory', async () => {
  await using model = await ModelHost.open();
  const id = await model.create('one');
  await model.pause(id);
  await model.resume(id);
  model.remember(id, 'two');
  const base = model.host.get(id).journal.memoryBase!;
  await writeFile(join(generationsDir(model.config), base, 'memory.map'), 'rotten');
  await model.pause(id);
  expect(await model.content(id)).toEqual(words('one', 'two'));
});

test('hazard 19: another name of a lower layer outlives its sandbox for as long as a snapshot needs it', async () => {
  await using model = await ModelHost.open();
  const id = await model.create('one');
  model.machines.faults.capture = NO_MEMORY_SERVER;
  await expect(model.snapshot(id)).rejects.toMatchObject({ code: 'pause_failed' });
  model.remember(id, 'two');
  const snapshot = await model.snapshot(id);
  await model.host.destroy(id);
  await model.host.collect(-1);
  expect(await model.content(await model.spawn(snapshot))).toEqual(words('one', 'two'));
});
