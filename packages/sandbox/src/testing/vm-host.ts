import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findKernel, type Kernel } from '@dormouse/rootfs';
import { QemuDriver, type VmDriver } from '@dormouse/vmm';
import { acceleratorFor, detectKvm } from '../config/accelerator.js';
import {
  generationsDir,
  guestMemoryDir,
  type HostConfig,
  layersDir,
  sandboxesDir,
  vmSlotsDir,
} from '../config/host-config.js';
import type { HostEnvironment } from '../environment.js';
import { SandboxHost } from '../host/sandbox-host.js';
import { assetsWithMemory } from './assets-with-memory.js';
import { HOST_MARK, pageServersOf, processesNaming } from './host-processes.js';

const AGENT_PATH =
  process.env.DORMOUSE_GUEST_AGENT ??
  fileURLToPath(new URL('../../../../guest/build/dormouse-guest', import.meta.url));

/** What is there of a host's sandboxes. A host without any has nothing of anything. */
export interface Presence {
  /** Command lines of processes that work for them. */
  readonly processes: readonly string[];
  readonly sandboxes: readonly string[];
  readonly memory: readonly string[];
}

/** What a host without sandboxes has. */
export const NOTHING: Presence = { processes: [], sandboxes: [], memory: [] };

/** All that a host has made, names only. */
export interface Remains extends Presence {
  readonly slots: readonly string[];
  readonly layers: readonly string[];
  readonly generations: readonly string[];
  /** Drafts, and generations on their way out. */
  readonly unfinished: readonly string[];
}

/** What a host of real VMs is made of, unless its test says otherwise. */
export interface VmHostOptions
  extends Pick<HostEnvironment, 'chains' | 'onStep' | 'standbys' | 'readySandboxes'> {
  /** Memory of the guests of every template. Default: the template's own. */
  readonly memoryMb?: number;
  /** Default: QEMU. */
  readonly driver?: VmDriver;
  /** An empty directory for everything but memory. Default: one of its own. */
  readonly dataDir?: string;
  /** An empty tmpfs for guest memory. Default: a directory in /dev/shm. */
  readonly memoryDir?: string;
}

/** A host of real VMs with directories of its own, gone when disposed. */
export interface VmHost extends AsyncDisposable {
  readonly config: HostConfig;
  readonly kernel: Kernel;
  /** As opened last. */
  readonly host: SandboxHost;
  /** What the host has warned of; a test that looks takes it away, so that the next sees its own. */
  readonly warnings: string[];
  presence(): Promise<Presence>;
  remains(): Promise<Remains>;
  /** Process ids of its page servers, those that wait included. */
  pageServers(): Promise<readonly number[]>;
  /** Opens the host again, as another agent would after this one has gone. */
  reopen(): Promise<SandboxHost>;
}

/** Opens a host on empty directories, with the kernel and the templates of DORMOUSE_ASSETS_DIR. */
export async function vmHost(options: VmHostOptions = {}): Promise<VmHost> {
  const preparedDir = process.env.DORMOUSE_ASSETS_DIR;
  if (preparedDir === undefined) throw new Error('DORMOUSE_ASSETS_DIR is not set; run the project `vm`');
  const kernel = await findKernel(preparedDir, AGENT_PATH);
  if (kernel === undefined) throw new Error(`there is no kernel in ${preparedDir} for ${AGENT_PATH}`);
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'dormouse-')));
  // VM processes run as users of their own and must get through to their files.
  await chmod(dataDir, 0o711);
  const memoryDir = options.memoryDir ?? join('/dev/shm', basename(dataDir));
  const accelerator = acceleratorFor(await detectKvm(preparedDir, kernel));
  const { memoryMb } = options;
  const assetsDir =
    memoryMb === undefined ? preparedDir : await assetsWithMemory(preparedDir, dataDir, memoryMb);
  const config: HostConfig = { dataDir, assetsDir, memoryDir, agentPath: AGENT_PATH, accelerator };
  const warnings: string[] = [];
  let host = await openVmHost(config, kernel, warnings, options);
  return {
    config,
    kernel,
    get host() {
      return host;
    },
    warnings,
    presence: () => presenceOf(config),
    remains: () => remainsOf(config),
    pageServers: () => pageServersOf(dataDir),
    reopen: async () => {
      host = await openVmHost(config, kernel, warnings, options);
      return host;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(host.list().map((sandbox) => host.destroy(sandbox.id)));
      await host.release();
      await rm(dataDir, { recursive: true, force: true }).catch(() => {});
      await rm(memoryDir, { recursive: true, force: true }).catch(() => {});
    },
  };
}

/** Opens a host of real VMs on directories that may have been in use before. */
export async function openVmHost(
  config: HostConfig,
  kernel: Kernel,
  warnings: string[],
  options: Pick<VmHostOptions, 'chains' | 'onStep' | 'standbys' | 'readySandboxes' | 'driver'> = {},
): Promise<SandboxHost> {
  const warn = (fields: Readonly<Record<string, unknown>>, message: string): void => {
    const why = fields.err instanceof Error ? `: ${fields.err.message}` : '';
    warnings.push(`${message}${why}`);
  };
  process.env[HOST_MARK] = config.dataDir;
  const { chains, onStep, standbys, readySandboxes, driver = new QemuDriver() } = options;
  return await SandboxHost.open({
    config,
    driver,
    accelerator: config.accelerator,
    kernel,
    log: { info: () => {}, warn },
    ...(chains === undefined ? {} : { chains }),
    ...(onStep === undefined ? {} : { onStep }),
    ...(standbys === undefined ? {} : { standbys }),
    ...(readySandboxes === undefined ? {} : { readySandboxes }),
  });
}

async function presenceOf(config: HostConfig): Promise<Presence> {
  return {
    processes: await processesNaming(config.dataDir),
    sandboxes: await readdir(sandboxesDir(config)),
    memory: await readdir(guestMemoryDir(config)),
  };
}

async function remainsOf(config: HostConfig): Promise<Remains> {
  const stored = (await readdir(generationsDir(config))).filter((name) => name !== '.stamps');
  return {
    ...(await presenceOf(config)),
    slots: await readdir(vmSlotsDir(config)),
    layers: await readdir(layersDir(config)),
    generations: stored.filter((name) => !name.startsWith('.')).toSorted(),
    unfinished: stored.filter((name) => name.startsWith('.')),
  };
}
