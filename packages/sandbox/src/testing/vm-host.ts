import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findKernel, type Kernel } from '@dormouse/rootfs';
import { QemuDriver } from '@dormouse/vmm';
import { acceleratorFor, detectKvm } from '../accelerator.js';
import { guestMemoryDir, type HostConfig, sandboxesDir } from '../host-config.js';
import { SandboxHost } from '../sandbox-host.js';

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

/** A host of real VMs with directories of its own, gone when disposed. */
export interface VmHost extends AsyncDisposable {
  readonly config: HostConfig;
  readonly kernel: Kernel;
  readonly host: SandboxHost;
  /** What the host has warned of so far. */
  readonly warnings: readonly string[];
  presence(): Promise<Presence>;
}

/** Opens a host on empty directories, with the kernel and the templates of DORMOUSE_ASSETS_DIR. */
export async function vmHost(): Promise<VmHost> {
  const assetsDir = process.env.DORMOUSE_ASSETS_DIR;
  if (assetsDir === undefined) throw new Error('DORMOUSE_ASSETS_DIR is not set; run the project `vm`');
  const kernel = await findKernel(assetsDir, AGENT_PATH);
  if (kernel === undefined) throw new Error(`there is no kernel in ${assetsDir} for ${AGENT_PATH}`);
  const dataDir = await mkdtemp(join(tmpdir(), 'dormouse-'));
  // VM processes run as users of their own and must get through to their files.
  await chmod(dataDir, 0o711);
  const memoryDir = join('/dev/shm', basename(dataDir));
  const accelerator = acceleratorFor(await detectKvm(assetsDir, kernel));
  const config: HostConfig = { dataDir, assetsDir, memoryDir, agentPath: AGENT_PATH, accelerator };
  const warnings: string[] = [];
  const warn = (fields: Readonly<Record<string, unknown>>, message: string): void => {
    const why = fields.err instanceof Error ? `: ${fields.err.message}` : '';
    warnings.push(`${message}${why}`);
  };
  const log = { info: () => {}, warn };
  const host = await SandboxHost.open({ config, driver: new QemuDriver(), accelerator, kernel, log });
  return {
    config,
    kernel,
    host,
    warnings,
    presence: async () => ({
      processes: await commandLinesNaming(dataDir),
      sandboxes: await readdir(sandboxesDir(config)),
      memory: await readdir(guestMemoryDir(config)),
    }),
    [Symbol.asyncDispose]: async () => {
      await Promise.all(host.list().map((sandbox) => host.destroy(sandbox.id)));
      await rm(dataDir, { recursive: true, force: true });
      await rm(memoryDir, { recursive: true, force: true });
    },
  };
}

async function commandLinesNaming(path: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
    if (commandLine.includes(path)) found.push(`${pid} ${commandLine.replaceAll('\0', ' ')}`);
  }
  return found;
}
