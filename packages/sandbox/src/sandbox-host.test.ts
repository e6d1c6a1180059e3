import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import type { VmDriver } from '@dormouse/vmm';
import { describe, expect, test } from 'vitest';
import { guestMemoryDir, type HostConfig, sandboxesDir, sandboxPaths } from './host-config.js';
import { type Journal, readJournal, writeJournal } from './journal.js';
import type { SandboxEnvironment } from './sandbox.js';
import { SandboxHost } from './sandbox-host.js';
import { journalOf, sandboxId } from './testing/journals.js';
import { temporaryDirectory } from './testing/temporary-directory.js';

/** A driver whose VMs have all ended: what these tests are about happens on disk. */
const NO_VMS: VmDriver = {
  boot: () => Promise.reject(new DormouseError('missing_tool', 'there is no VMM in this test')),
  attach: () => Promise.resolve(undefined),
};

interface TestHost extends AsyncDisposable {
  readonly config: HostConfig;
  readonly warnings: string[];
  open(driver?: VmDriver): Promise<SandboxHost>;
  /** Puts a sandbox there as an earlier agent would have left it. */
  leave(journal: Journal): Promise<void>;
  /** Names of what there is: sandboxes, and guest memory. */
  state(): Promise<{ readonly sandboxes: readonly string[]; readonly memory: readonly string[] }>;
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
      const environment: SandboxEnvironment = {
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
      await mkdir(paths.runDir, { recursive: true });
      await mkdir(guestMemoryDir(config), { recursive: true });
      await writeJournal(paths.journal, journal);
      await writeFile(paths.layer, 'layer');
      await writeFile(paths.memory, 'memory');
    },
    state: async () => ({
      sandboxes: (await readdir(sandboxesDir(config))).toSorted(),
      memory: (await readdir(guestMemoryDir(config))).toSorted(),
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
    expect(await host.state()).toEqual({ sandboxes: [], memory: [] });
    expect((await stat(sandboxesDir(host.config))).mode & 0o777).toBe(0o711);
    expect((await stat(guestMemoryDir(host.config))).mode & 0o777).toBe(0o711);
  });

  test.each(['pending', 'stopping'] as const)(
    'of a sandbox that was %s leaves nothing of it',
    async (state) => {
      await using host = await testHost();
      await host.leave(journalOf(A, { state }));
      const opened = await host.open();
      expect(opened.list()).toEqual([]);
      expect(await host.state()).toEqual({ sandboxes: [], memory: [] });
    },
  );

  test('of a running sandbox whose VM has ended makes it stopped, says why, and frees its memory', async () => {
    await using host = await testHost();
    await host.leave(journalOf(A, { vm: { pid: 4_194_305, startTicks: 1 } }));
    const opened = await host.open();
    const reason = 'its VM ended while the host agent was away';
    expect(opened.get(A).journal).toMatchObject({ state: 'stopped', reason });
    expect(await readJournal(sandboxPaths(host.config, A).journal)).toEqual(
      journalOf(A, { state: 'stopped', reason }),
    );
    expect(await host.state()).toEqual({ sandboxes: [A], memory: [] });
    await expect(opened.get(A).guest()).rejects.toMatchObject({
      code: 'invalid_state',
      message: `the sandbox is stopped: ${reason}`,
    });
  });

  test('of a running sandbox whose VM does not answer ends it and says why', async () => {
    await using host = await testHost();
    await host.leave(journalOf(A, { vm: { pid: 4_194_305, startTicks: 1 } }));
    const opened = await host.open({
      ...NO_VMS,
      attach: () => Promise.reject(new DormouseError('boot_failed', 'the VM did not greet within 5000 ms')),
    });
    expect(opened.get(A).journal).toMatchObject({
      state: 'stopped',
      reason: 'its VM no longer answered: the VM did not greet within 5000 ms',
    });
    expect(host.warnings).toEqual(['the VM does not answer; ending it']);
  });

  test('keeps stopped sandboxes as they are until they are destroyed', async () => {
    await using host = await testHost();
    const journal = journalOf(A, { state: 'stopped', reason: 'shut down with the host agent' });
    await host.leave(journal);
    const opened = await host.open();
    expect(opened.get(A).journal).toEqual(journal);
    expect(await host.state()).toEqual({ sandboxes: [A], memory: [] });
    await Promise.all([opened.destroy(A), opened.destroy(A)]);
    await opened.destroy(A);
    expect(() => opened.get(A)).toThrow(
      expect.objectContaining({ code: 'not_found', message: `there is no sandbox '${A}' on this host` }),
    );
    expect(await host.state()).toEqual({ sandboxes: [], memory: [] });
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
    expect(await host.state()).toEqual({ sandboxes: [], memory: [] });
  });

  test('sets a sandbox aside whose journal cannot be understood, frees its memory, and leaves the rest alone', async () => {
    await using host = await testHost();
    await host.leave(journalOf(A));
    await host.leave(journalOf(B, { state: 'stopped' }));
    await writeFile(sandboxPaths(host.config, A).journal, '{"torn');
    await mkdir(join(sandboxesDir(host.config), 'lost+found'));
    const opened = await host.open();
    expect(opened.list().map((sandbox) => sandbox.id)).toEqual([B]);
    const aside = expect.stringMatching(new RegExp(`^\\.broken-${A}-\\d+$`));
    expect(await host.state()).toEqual({ sandboxes: [aside, 'lost+found', B], memory: [] });
    expect(host.warnings).toEqual(['the journal cannot be understood; sandbox set aside']);
    const again = await host.open();
    expect(again.list().map((sandbox) => sandbox.id)).toEqual([B]);
  });

  test('sets a second one aside with the same name', async () => {
    await using host = await testHost();
    for (let round = 0; round < 2; round++) {
      await host.leave(journalOf(A));
      await writeFile(sandboxPaths(host.config, A).journal, '{"torn');
      await host.open();
    }
    const { sandboxes } = await host.state();
    expect(sandboxes).not.toContain(A);
    expect(sandboxes.filter((name) => name.startsWith(`.broken-${A}`))).toHaveLength(2);
  });

  test.runIf(process.geteuid?.() === 0)(
    'does not hand out the user of a sandbox that is still there',
    async () => {
      await using host = await testHost();
      await host.leave(journalOf(A, { state: 'stopped', uid: 1_907_000_000 }));
      const opened = await host.open();
      expect(opened.get(A).journal.uid).toBe(1_907_000_000);
    },
  );
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
      expect(await host.state()).toEqual({ sandboxes: [], memory: [] });
    },
  );

  test('is refused by a host that knows a newer generation, and answers what there is for the same', async () => {
    await using host = await testHost();
    await host.leave(journalOf(A, { state: 'stopped', generation: 7 }));
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
      expect(await host.state()).toEqual({ sandboxes: [], memory: [] });
    },
  );
});
