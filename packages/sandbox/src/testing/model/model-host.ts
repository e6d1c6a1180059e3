import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  generationsDir,
  guestMemoryDir,
  type HostConfig,
  layersDir,
  sandboxesDir,
  vmSlotsDir,
} from '../../config/host-config.js';
import { newSandboxId, type SandboxRequest } from '../../config/sandbox-spec.js';
import type { HostEnvironment } from '../../environment.js';
import { SandboxHost } from '../../host/sandbox-host.js';
import { type Faults, failEverything } from '../faults.js';
import { putTemplate } from '../templates.js';
import { ModelMachines } from './model-driver.js';
import type { Content, ModelVm } from './model-vm.js';

export const MODEL_REQUEST: SandboxRequest = { template: 'base', envs: {}, internet: false };

/** Everything that a host has made, by name. */
export interface ModelRemains {
  readonly sandboxes: readonly string[];
  readonly memory: readonly string[];
  readonly slots: readonly string[];
  readonly layers: readonly string[];
  readonly generations: readonly string[];
  readonly vms: number;
}

/** What a host without sandboxes has. */
export const NO_REMAINS: ModelRemains = {
  sandboxes: [],
  memory: [],
  slots: [],
  layers: [],
  generations: [],
  vms: 0,
};

/** A host whose VMs are models: real journals, layers and generations, in milliseconds. */
export class ModelHost implements AsyncDisposable {
  readonly config: HostConfig;
  readonly machines: ModelMachines = new ModelMachines();
  /** What the host has warned of. */
  readonly warnings: string[] = [];
  readonly #options: Partial<HostEnvironment>;
  readonly #remove: () => Promise<void>;
  #host: SandboxHost | undefined;
  #killed: Faults | undefined;

  private constructor(config: HostConfig, options: Partial<HostEnvironment>, remove: () => Promise<void>) {
    this.config = config;
    this.#options = options;
    this.#remove = remove;
  }

  /** @param dataDir default: a directory in memory, where syncing costs nothing; gone when the host is disposed */
  static async open(options: Partial<HostEnvironment> = {}, dataDir?: string): Promise<ModelHost> {
    const memoryDir = await mkdtemp('/dev/shm/dormouse-model-');
    const root = dataDir ?? join(memoryDir, 'data');
    const config: HostConfig = {
      dataDir: root,
      assetsDir: root,
      memoryDir,
      agentPath: '/nonexistent',
      accelerator: 'tcg',
    };
    const model = new ModelHost(config, options, async () => {
      await rm(memoryDir, { recursive: true, force: true });
    });
    await putTemplate(config);
    await model.reopen();
    return model;
  }

  /** The host agent dies, or its machine loses its power: nothing of it runs any more. */
  async die(): Promise<void> {
    await this.#host?.release();
    this.#host = undefined;
  }

  /**
   * The host agent is killed: nothing that it does from now on reaches a file or a VM. `reopen` starts the next one.
   * Call it in the middle of an operation, at a step.
   */
  kill(): void {
    for (const vm of this.machines.alive) vm.faults.orphaned = true;
    this.#killed ??= failEverything((path) => path.startsWith(this.config.dataDir));
  }

  /** As opened last. */
  get host(): SandboxHost {
    if (this.#host === undefined) throw new Error('the host is not open');
    return this.#host;
  }

  /** Opens the host again, as the next agent would after the last one has died without a word. */
  async reopen(): Promise<SandboxHost> {
    await this.#host?.release();
    this.#host = undefined;
    this.#killed?.restore();
    this.#killed = undefined;
    for (const vm of this.machines.alive) vm.faults.orphaned = false;
    this.#host = await SandboxHost.open({
      config: this.config,
      driver: this.machines,
      accelerator: 'tcg',
      kernel: { version: '6.1.0', vmlinuxPath: '/vmlinux', initramfsPath: '/initramfs' },
      memoryServers: this.machines.servers(),
      log: {
        info: () => {},
        warn: ({ err }, message) =>
          this.warnings.push(err instanceof Error ? `${message}: ${err.message}` : message),
      },
      retryPauseMs: 1,
      ...this.#options,
      // What a model writes into a layer lies behind its clusters, where qemu-img does not look: layers are not merged.
      chains: { ...this.#options.chains, maxLayers: Number.POSITIVE_INFINITY },
    });
    // A host ends processes whose place no journal names; these VMs are no processes.
    for (const vm of this.machines.alive) if (!existsSync(vm.guestSocketPath)) vm.end();
    return this.#host;
  }

  /** A sandbox that runs and remembers a word. */
  async create(word = 'first'): Promise<string> {
    const id = newSandboxId();
    await this.host.create(id, 1, MODEL_REQUEST);
    this.remember(id, word);
    return id;
  }

  /** The VM of a sandbox that has one. */
  vm(id: string): ModelVm {
    const vm = this.machines.find(this.host.get(id).vmPid);
    if (vm === undefined) throw new Error(`sandbox ${id} has no VM`);
    return vm;
  }

  remember(id: string, word: string): void {
    this.vm(id).remember(word);
  }

  /** What a sandbox remembers. One that is paused is resumed first. */
  async content(id: string): Promise<Content> {
    const { journal } = this.host.get(id);
    if (journal.state === 'paused') await this.host.resume(id, journal.generation + 1);
    return this.vm(id).content();
  }

  async pause(id: string, kind: 'full' | 'disk' = 'full'): Promise<void> {
    await this.host.pause(id, Number.MAX_SAFE_INTEGER, kind);
  }

  async resume(id: string): Promise<void> {
    await this.host.resume(id, this.host.get(id).journal.generation + 1);
  }

  async snapshot(id: string): Promise<string> {
    const snapshotId = newSandboxId().replace('sb', 'sn');
    await this.host.createSnapshot(snapshotId, id, 'full');
    return snapshotId;
  }

  /** A sandbox that begins with a snapshot. */
  async spawn(snapshotId: string): Promise<string> {
    const id = newSandboxId();
    await this.host.create(id, 1, { ...MODEL_REQUEST, snapshotId });
    return id;
  }

  async remains(): Promise<ModelRemains> {
    return {
      sandboxes: await readdir(sandboxesDir(this.config)),
      memory: await readdir(guestMemoryDir(this.config)),
      slots: await readdir(vmSlotsDir(this.config)),
      layers: await readdir(layersDir(this.config)),
      generations: (await readdir(generationsDir(this.config))).filter((name) => name !== '.stamps'),
      vms: this.machines.alive.length,
    };
  }

  /** Removes what agents that were killed have left half made: they were this process, which lives. */
  async removeDrafts(): Promise<void> {
    const root = generationsDir(this.config);
    for (const name of await readdir(root)) {
      if (name.startsWith('.tmp-')) await rm(join(root, name), { recursive: true });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.machines.cutPower();
    await this.#host?.release();
    await this.#remove();
  }
}

/** The content of a guest that remembers these words. */
export function words(...all: readonly string[]): Content {
  const text = all.map((word) => `${word} `).join('');
  return { memory: text, devices: text, disk: text };
}
