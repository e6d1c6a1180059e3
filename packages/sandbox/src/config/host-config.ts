import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Accelerator } from '@dormouse/vmm';

/** What a host agent is told about its machine. Paths are absolute. */
export interface HostConfig {
  /** Sandboxes' journals, sockets and disk layers. */
  readonly dataDir: string;
  /** Kernels, images and templates; usually the data directory. */
  readonly assetsDir: string;
  /** A tmpfs for guest RAM, default /dev/shm/dormouse. */
  readonly memoryDir: string;
  /** The guest agent's binary. */
  readonly agentPath: string;
  readonly accelerator: Accelerator;
}

/** Where the files of one sandbox are. */
export interface SandboxPaths {
  readonly dir: string;
  readonly journal: string;
  /** What the guest prints on its console. */
  readonly consoleLog: string;
  /** What it was doing. */
  readonly metrics: string;
}

/** Directories of sandboxes with this prefix are on their way out; what a crash leaves of them goes at the next start. */
export const DELETING_PREFIX = '.deleting-';

/** Directory of all sandboxes of a host. */
export function sandboxesDir(config: HostConfig): string {
  return join(config.dataDir, 'sandboxes');
}

/**
 * Directory of guest RAM, by data directory: hosts that share a tmpfs must be able to tell which files nobody owns.
 */
export function guestMemoryDir(config: HostConfig): string {
  const instance = createHash('sha256').update(config.dataDir).digest('hex').slice(0, 8);
  return join(config.memoryDir, instance);
}

/** Directory of the sockets and logs of VM processes. */
export function vmSlotsDir(config: HostConfig): string {
  return join(config.dataDir, 'vms');
}

/** Directory of generations. */
export function generationsDir(config: HostConfig): string {
  return join(config.dataDir, 'generations');
}

/** Directory of disk layers. */
export function layersDir(config: HostConfig): string {
  return join(config.dataDir, 'layers');
}

/** Directory of the records of snapshots. */
export function snapshotsDir(config: HostConfig): string {
  return join(config.dataDir, 'snapshots');
}

/** Where a sandbox's files are. `id` has been validated: it becomes a path. */
export function sandboxPaths(config: HostConfig, id: string): SandboxPaths {
  const dir = join(sandboxesDir(config), id);
  return {
    dir,
    journal: join(dir, 'journal.json'),
    consoleLog: join(dir, 'console.log'),
    metrics: join(dir, 'metrics.bin'),
  };
}
