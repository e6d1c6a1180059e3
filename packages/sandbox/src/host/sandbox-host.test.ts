import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import { createLayer, imagePath } from '@dormouse/rootfs';
import { GenerationStore } from '@dormouse/snapshot';
import type { VmDriver, VmSpec } from '@dormouse/vmm';
import { describe, expect, test } from 'vitest';
import {
  generationsDir,
  guestMemoryDir,
  type HostConfig,
  layersDir,
  sandboxesDir,
  sandboxPaths,
  vmSlotsDir,
} from '../config/host-config.js';
import type { HostEnvironment } from '../environment.js';
import { type Journal, stopped, stopping } from '../records/journal.js';
import { readJournal, writeJournal } from '../records/journal-file.js';
import { failOnce } from '../testing/faults.js';
import { DEAD_VM, DISK, pendingOf, runningOf, sandboxId, storedOf } from '../testing/journals.js';
import { putTemplate } from '../testing/templates.js';
import { temporaryDirectory } from '../testing/temporary-directory.js';
import { SandboxHost } from './sandbox-host.js';

/** A driver whose VMs have all ended: what these tests are about happens on disk. */
const NO_VMS: VmDriver = {
  facts: () => Promise.resolve({ vmm: 'none' }),
  boot: () => Promise.reject(new DormouseError('missing_tool', 'there is no VMM in this test')),
  standBy: () => Promise.reject(new DormouseError('missing_tool', 'there is no VMM in this test')),
  attach: () => Promise.resolve(undefined),
};

interface TestHost extends AsyncDisposable {
  readonly config: HostConfig;
  readonly warnings: string[];
  open(driver?: VmDriver): Promise<SandboxHost>;
  /** Puts a sandbox there as an earlier agent would have left it. */
  leave(journal: Journal): Promise<void>;
  /** Puts the image and the layer there that journals of these tests name. */
  leaveDisk(): Promise<void>;
  /** Names of what there is: sandboxes, guest memory, and places for VMs. */
  state(): Promise<{
    readonly sandboxes: readonly string[];
    readonly memory: readonly string[];
    readonly slots: readonly string[];
    readonly layers: readonly string[];
  }>;
}

async function testHost(): Promise<TestHost> {
  const directory = await temporaryDirectory();
  const config: HostConfig = {
    dataDir: directory.path,
    assetsDir: directory.path,
    memoryDir: join(directory.path, 'shm'),
    agentPath: '/nonexistent',
    accelerator: 'tcg',
  };
  const warnings: string[] = [];
  return {
    config,
    warnings,
    open: (driver = NO_VMS) => {
      const environment: HostEnvironment = {
        config,
        driver,
        accelerator: 'tcg',
        kernel: { version: '6.1.0', vmlinuxPath: '/vmlinux', initramfsPath: '/initramfs' },
        log: { info: () => {}, warn: (_fields, message) => warnings.push(message) },
      };
      return SandboxHost.open(environment);
    },
    leave: async (journal) => {
      const paths = sandboxPaths(config, journal.id);
      const slot = journal.vm?.slot ?? DEAD_VM.slot;
      await mkdir(join(vmSlotsDir(config), slot, 'run'), { recursive: true });
      await mkdir(guestMemoryDir(config), { recursive: true });
      await writeJournal(paths.journal, journal);
      await writeFile(join(guestMemoryDir(config), slot), 'memory');
    },
    leaveDisk: async () => {
      const image = imagePath(config.assetsDir, DISK.base.id);
      await mkdir(dirname(image), { recursive: true });
      await writeFile(image, Buffer.alloc(1_048_576));
      await mkdir(layersDir(config), { recursive: true });
      const layer = join(layersDir(config), `${DISK.layers[0]}.qcow2`);
      await createLayer(layer, { path: image, format: 'raw' });
    },
    state: async () => ({
      sandboxes: (await readdir(sandboxesDir(config))).toSorted(),
      memory: (await readdir(guestMemoryDir(config))).toSorted(),
      slots: (await readdir(vmSlotsDir(config))).toSorted(),
      layers: (await readdir(layersDir(config))).toSorted(),
    }),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

const A = sandboxId('a');
const B = sandboxId('b');

describe('hazard 9: taking over what an earlier agent has left', () => {
  test('of nothing makes the directories, which VM users may pass through but not list', async () => {
    await using host = await testHost();
    const opened = await host.open();
    expect(opened.list()).toEqual([]);
    expect(await host.state()).toEqual({ sandboxes: [], memory: [], slots: [], layers: [] });
    expect((await stat(sandboxesDir(host.config))).mode & 0o777).toBe(0o711);
    expect((await stat(guestMemoryDir(host.config))).mode & 0o777).toBe(0o711);
  });

  test.each(['pending', 'stopping'] as const)(
    'of a sandbox that was %s leaves nothing of it',
    async (state) => {
      await using host = await testHost();
      await host.leave(state === 'pending' ? pendingOf(A) : stopping(runningOf(A)));
      const opened = await host.open();
      expect(opened.list()).toEqual([]);
      expect(await host.state()).toEqual({ sandboxes: [], memory: [], slots: [], layers: [] });
    },
  );

  test('of a running sandbox whose VM has ended keeps its disk, says why, and frees its memory', async () => {
    await using host = await testHost();
    await host.leave(runningOf(A));
    await host.leaveDisk();
    const opened = await host.open();
    const reason = 'its VM ended while the host agent was away';
    expect(opened.get(A).journal).toMatchObject({ state: 'paused', reason, paused: { cause: 'vm_ended' } });
    expect(await readJournal(sandboxPaths(host.config, A).journal)).toEqual(opened.get(A).journal);
    expect(await host.state()).toEqual({ sandboxes: [A], memory: [], slots: [], layers: [] });
    await expect(opened.get(A).guest()).rejects.toMatchObject({
      code: 'invalid_state',
      message: `the sandbox is paused: ${reason}`,
    });
  });

  test('of a sandbox whose VM and disk have gone makes it stopped, and says why', async () => {
    await using host = await testHost();
    await host.leave(
      runningOf(A, { disk: { ...DISK, base: { kind: 'generation', id: `gn${'0'.repeat(26)}` } } }),
    );
    const opened = await host.open();
    const { state, reason } = opened.get(A).journal;
    expect([state, reason]).toEqual([
      'stopped',
      `its VM ended while the host agent was away; its disk was not kept: generation gn${'0'.repeat(26)} does not exist`,
    ]);
    expect(await host.state()).toEqual({ sandboxes: [A], memory: [], slots: [], layers: [] });
  });

  test('of a running sandbox whose VM does not answer ends it and says why', async () => {
    await using host = await testHost();
    await host.leave(runningOf(A));
    await host.leaveDisk();
    const opened = await host.open({
      ...NO_VMS,
      attach: () => Promise.reject(new DormouseError('boot_failed', 'the VM did not greet within 5000 ms')),
    });
    expect(opened.get(A).journal).toMatchObject({
      state: 'paused',
      reason: 'its VM no longer answered: the VM did not greet within 5000 ms',
    });
    expect(host.warnings).toEqual(['the VM does not answer; ending it']);
  });

  test('goes on with the others when one of them cannot be taken over', async () => {
    await using host = await testHost();
    for (const id of [A, B]) await host.leave(runningOf(id));
    await host.leaveDisk();
    const { dir } = sandboxPaths(host.config, A);
    const opened = await host.open({
      ...NO_VMS,
      attach: async ({ consoleLogPath }) => {
        if (!consoleLogPath.startsWith(dir)) return undefined;
        await rm(dir, { recursive: true });
        await writeFile(dir, 'in the way');
        return undefined;
      },
    });
    expect(opened.get(B).journal.state).toBe('paused');
    expect(host.warnings).toContain('could not keep the disk of a VM that has ended; trying again');
  });

  test('keeps stopped sandboxes as they are until they are destroyed', async () => {
    await using host = await testHost();
    const journal = stopped({ ...runningOf(A), disk: undefined } as never, 'shut down with the host agent');
    await host.leave(journal);
    const opened = await host.open();
    expect(opened.get(A).journal).toEqual(journal);
    expect(await host.state()).toEqual({ sandboxes: [A], memory: [], slots: [], layers: [] });
    await Promise.all([opened.destroy(A), opened.destroy(A)]);
    await opened.destroy(A);
    expect(() => opened.get(A)).toThrow(
      expect.objectContaining({ code: 'not_found', message: `there is no sandbox '${A}' on this host` }),
    );
    expect(await host.state()).toEqual({ sandboxes: [], memory: [], slots: [], layers: [] });
  });

  test('hazard 16: removes what was on its way out or never got a journal, and memory that is nobody’s', async () => {
    await using host = await testHost();
    const sandboxes = sandboxesDir(host.config);
    await mkdir(join(sandboxes, `.deleting-${A}`, 'run'), { recursive: true });
    await mkdir(join(sandboxes, B, 'run'), { recursive: true });
    await mkdir(guestMemoryDir(host.config), { recursive: true });
    await writeFile(join(guestMemoryDir(host.config), B), 'memory');
    await writeFile(join(guestMemoryDir(host.config), 'stray'), 'memory');
    await host.open();
    expect(await host.state()).toEqual({ sandboxes: [], memory: [], slots: [], layers: [] });
  });

  test.each([
    ['timeout', [['killed', A]]],
    [undefined, []],
  ] as const)(
    'hazard 16: what cannot be removed (because of: %s) keeps nobody from coming back, and is removed later',
    async (stopCause, told) => {
      await using host = await testHost();
      const [layer] = DISK.layers;
      await host.leave(stopping(runningOf(A), stopCause));
      await host.leave(stopped(runningOf(B), 'why'));
      const inTheWay = join(layersDir(host.config), `${layer}.qcow2`);
      await mkdir(inTheWay, { recursive: true });
      const opened = await host.open();
      expect(host.warnings).toEqual(['what a crash had interrupted cannot be finished yet']);
      expect(opened.list().map(({ id, journal }) => [id, journal.state])).toEqual([
        [A, 'stopping'],
        [B, 'stopped'],
      ]);
      await expect(opened.destroy(A)).rejects.toMatchObject({ code: 'ERR_FS_EISDIR' });
      await rm(inTheWay, { recursive: true });
      if (stopCause === undefined) await opened.destroy(A);
      else opened.startExpiry();
      await expect
        .poll(() => opened.list().map(({ id }) => id), { timeout: 30_000, interval: 50 })
        .toEqual([B]);
      await opened.stopExpiry();
      expect(await host.state()).toEqual({ sandboxes: [B], memory: [], slots: [], layers: [] });
      expect(opened.events.pending().map(({ kind, sandboxId: id }) => [kind, id])).toEqual(told);
    },
  );

  test('hazard 5: sets a sandbox aside whose journal cannot be understood, and removes nothing that may be its own', async () => {
    await using host = await testHost();
    await host.leave(runningOf(A));
    await host.leave(stopped(runningOf(B), 'why'));
    await host.leaveDisk();
    await writeFile(sandboxPaths(host.config, A).journal, '{"torn');
    await mkdir(join(sandboxesDir(host.config), 'lost+found'));
    const store = await GenerationStore.open(generationsDir(host.config));
    await using draft = await store.begin();
    await draft.write('disk.qcow2', Buffer.from('disk'));
    const { id: generation } = await draft.commit({ kind: 'disk', machine: {} });
    const aside = expect.stringMatching(new RegExp(`^\\.broken-${A}-\\d+$`));
    // The second agent finds it set aside already.
    for (const found of ['understood now', 'set aside before']) {
      const opened = await host.open();
      expect([found, opened.list().map((sandbox) => sandbox.id)]).toEqual([found, [B]]);
      await opened.collect(-1);
      expect(await host.state()).toEqual({
        sandboxes: [aside, 'lost+found', B],
        memory: [DEAD_VM.slot],
        slots: [DEAD_VM.slot],
        layers: [`${DISK.layers[0]}.qcow2`],
      });
      expect(await store.list()).toEqual([generation]);
      await opened.release();
    }
    expect(host.warnings).toEqual([
      'the journal cannot be understood; sandbox set aside',
      ...Array(2)
        .fill([
          'journals cannot be understood: no VM, memory, layer or generation is freed until they are gone',
          'journals cannot be understood: nothing is removed until they are gone',
        ])
        .flat(),
    ]);
    // Once an operator has decided, everything that nothing refers to goes.
    for (const name of await readdir(sandboxesDir(host.config))) {
      if (name.startsWith('.broken-')) await rm(join(sandboxesDir(host.config), name), { recursive: true });
    }
    await host.leave(stopped({ ...runningOf(B), disk: undefined } as never, 'why'));
    const opened = await host.open();
    await opened.collect(-1);
    expect(await host.state()).toEqual({ sandboxes: ['lost+found', B], memory: [], slots: [], layers: [] });
    expect(await store.list()).toEqual([]);
  });

  test.each(['EIO', 'EMFILE', 'EACCES'])(
    'hazard 5: does not open, and changes nothing, when a journal cannot be read for %s',
    async (code) => {
      await using host = await testHost();
      for (const id of [A, B]) await host.leave(runningOf(id));
      await mkdir(join(sandboxesDir(host.config), `.deleting-${A}`));
      await host.leaveDisk();
      const before = await host.state();
      const fault = failOnce(code, (path) => path === sandboxPaths(host.config, B).journal);
      try {
        await expect(host.open()).rejects.toMatchObject({ code });
      } finally {
        fault.restore();
      }
      expect(await host.state()).toEqual(before);
      expect((await host.open()).list().map(({ id }) => id)).toEqual([A, B]);
    },
  );

  test('hazard 20: does not open, and changes nothing, when a newer agent has written a journal', async () => {
    await using host = await testHost();
    await host.leave(runningOf(A));
    await host.leaveDisk();
    const path = sandboxPaths(host.config, A).journal;
    const written = JSON.stringify(storedOf(A, { version: 9, state: 'hovering' }));
    await writeFile(path, written);
    const before = await host.state();
    await expect(host.open()).rejects.toMatchObject({
      code: 'setup_failed',
      message: `the journal ${path} has version 9; this host agent understands up to 3`,
    });
    expect(await host.state()).toEqual(before);
    expect(await readFile(path, 'utf8')).toBe(written);
  });

  test('sets a second one aside with the same name', async () => {
    await using host = await testHost();
    for (let round = 0; round < 2; round++) {
      await host.leave(runningOf(A));
      await writeFile(sandboxPaths(host.config, A).journal, '{"torn');
      await host.open();
    }
    const { sandboxes } = await host.state();
    expect(sandboxes).not.toContain(A);
    expect(sandboxes.filter((name) => name.startsWith(`.broken-${A}`))).toHaveLength(2);
  });
});

describe('creating', () => {
  const REQUEST = { template: 'base', envs: {}, internet: false } as const;

  test.each(['', 'sandbox', '../../etc/cron.d/abcdefg', `${A}/`, `${A}\n`, A.toUpperCase()])(
    'hazard 14: is refused for the id %j, and nothing is made',
    async (id) => {
      await using host = await testHost();
      const opened = await host.open();
      await expect(opened.create(id, 1, REQUEST)).rejects.toMatchObject({
        code: 'invalid_request',
        message: `'${id}' is no sandbox id`,
      });
      expect(await host.state()).toEqual({ sandboxes: [], memory: [], slots: [], layers: [] });
    },
  );

  test('is refused by a host that knows a newer generation, and answers what there is for the same', async () => {
    await using host = await testHost();
    await host.leave(stopped({ ...runningOf(A), generation: 7 }, 'why'));
    const opened = await host.open();
    await expect(opened.create(A, 6, REQUEST)).rejects.toMatchObject({
      code: 'invalid_state',
      message: `sandbox ${A} has moved on to generation 7`,
    });
    expect((await opened.create(A, 7, REQUEST)).journal.generation).toBe(7);
  });

  test.each(['none', '../base', ''])(
    'is refused for the template %j, and nothing is made',
    async (template) => {
      await using host = await testHost();
      const opened = await host.open();
      await expect(opened.create(A, 1, { ...REQUEST, template })).rejects.toMatchObject({
        code: 'not_found',
        message: `there is no template '${template}'`,
      });
      expect(opened.list()).toEqual([]);
      expect(await host.state()).toEqual({ sandboxes: [], memory: [], slots: [], layers: [] });
    },
  );
});

describe('a boot that fails', () => {
  const REQUEST = { template: 'base', envs: {}, internet: false } as const;

  /** A driver that refuses with the same words each time, and what it was asked for. */
  function refusing(error: DormouseError): VmDriver & { readonly asked: VmSpec[] } {
    const asked: VmSpec[] = [];
    return {
      asked,
      facts: NO_VMS.facts,
      boot: (spec) => {
        asked.push(spec);
        return Promise.reject(error);
      },
      standBy: () => Promise.reject(error),
      attach: () => Promise.resolve(undefined),
    };
  }

  test('is tried three times, then reported with the last reason; hazard 17: it leaves nothing', async () => {
    await using host = await testHost();
    await putTemplate(host.config);
    const driver = refusing(new DormouseError('boot_failed', 'QEMU ended with exit code 1: no luck'));
    const opened = await host.open(driver);
    await expect(opened.create(A, 1, REQUEST)).rejects.toMatchObject({
      code: 'boot_failed',
      message: 'the guest did not come up in 3 attempts: QEMU ended with exit code 1: no luck',
      suggestion: 'The console log of the sandbox may say more; `./dormouse doctor` checks the host.',
    });
    expect(host.warnings).toEqual(['the guest did not come up; again', 'the guest did not come up; again']);
    expect(driver.asked).toHaveLength(3);
    expect(driver.asked[0]).toMatchObject({
      memoryBytes: 128 * 1024 * 1024,
      network: { kind: 'user', restricted: true },
      kernelPath: '/vmlinux',
      initramfsPath: '/initramfs',
    });
    expect(opened.list()).toEqual([]);
    expect(await host.state()).toEqual({ sandboxes: [], memory: [], slots: [], layers: [] });
  });

  test('hazard 8: because it is destroyed before it has begun is cancelled, not overlooked', async () => {
    await using host = await testHost();
    await putTemplate(host.config);
    const opened = await host.open({
      ...NO_VMS,
      boot: (_spec, signal) =>
        new Promise((_resolve, reject) => {
          if (signal?.aborted) reject(signal.reason);
          signal?.addEventListener('abort', () => reject(signal.reason));
        }),
    });
    const creating = opened.create(A, 1, REQUEST);
    creating.catch(() => {});
    await opened.destroy(A);
    await expect(creating).rejects.toMatchObject({ code: 'cancelled', message: 'the boot was cancelled' });
    expect(opened.list()).toEqual([]);
    expect(await host.state()).toEqual({ sandboxes: [], memory: [], slots: [], layers: [] });
  });

  test('for want of a program is not tried again', async () => {
    await using host = await testHost();
    await putTemplate(host.config);
    const driver = refusing(new DormouseError('missing_tool', 'qemu-system-x86_64 is not installed'));
    const opened = await host.open(driver);
    await expect(opened.create(A, 1, REQUEST)).rejects.toMatchObject({
      code: 'missing_tool',
      message: 'qemu-system-x86_64 is not installed',
    });
    expect([driver.asked.length, host.warnings]).toEqual([1, []]);
    expect(await host.state()).toEqual({ sandboxes: [], memory: [], slots: [], layers: [] });
  });

  test('because the image has gone is reported by the tool that missed it', async () => {
    await using host = await testHost();
    await putTemplate(host.config);
    await rm(join(host.config.assetsDir, 'images'), { recursive: true });
    const driver = refusing(new DormouseError('internal', 'never asked'));
    const opened = await host.open(driver);
    await expect(opened.create(A, 1, REQUEST)).rejects.toMatchObject({
      code: 'setup_failed',
      message: expect.stringMatching(/^nothing can lie on .*root\.ext4: ENOENT/),
    });
    expect(driver.asked).toEqual([]);
    expect(await host.state()).toEqual({ sandboxes: [], memory: [], slots: [], layers: [] });
  });

  test.runIf(process.geteuid?.() === 0)('gives its user back', async () => {
    await using host = await testHost();
    await putTemplate(host.config);
    const driver = refusing(new DormouseError('missing_tool', 'qemu-system-x86_64 is not installed'));
    const opened = await host.open(driver);
    for (let round = 0; round < 2; round++) await opened.create(A, 1, REQUEST).catch(() => {});
    expect(driver.asked.map((spec) => spec.user?.uid)).toEqual([1_907_000_000, 1_907_000_000]);
  });
});
