import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import { PageServerPool } from '@dormouse/page-server';
import { findTemplate } from '@dormouse/rootfs';
import { type GenerationSizes, GenerationStore } from '@dormouse/snapshot';
import type { Sandbox } from '../actor/sandbox.js';
import type { ResumeOptions } from '../actor/wake-up.js';
import { limited } from '../concurrency/limited.js';
import { generationsDir, sandboxesDir, snapshotsDir } from '../config/host-config.js';
import type { Policy } from '../config/policy.js';
import { resolveSpec, type SandboxRequest, type SandboxSpec } from '../config/sandbox-spec.js';
import type { HostRoom } from '../disk/capacity.js';
import { DiskLayers } from '../disk/disk.js';
import { diskFormat } from '../disk/disk-format.js';
import type { HostEnvironment, SandboxEnvironment } from '../environment.js';
import { ExpiryLoop } from '../expiry/expiry-loop.js';
import { ReadyPool } from '../pools/ready-pool.js';
import { StandbyPool } from '../pools/standby-pool.js';
import { FrozenTemplates } from '../records/frozen-templates.js';
import { HostEvents } from '../records/host-events.js';
import { type Snapshot, Snapshots } from '../records/snapshots.js';
import type { Origin } from '../transitions/first-vm.js';
import { endReady } from '../transitions/ready-vm.js';
import { shorten } from '../transitions/shorten.js';
import { VmSlots } from '../vm/vm-slots.js';
import { Background } from './background.js';
import { Collector, type Roots } from './collector.js';
import { Creation, type Plan } from './creation.js';
import { type HostFigures, hostFigures } from './host-figures.js';
import { MemoryBudget } from './memory-budget.js';
import { recover } from './recovery.js';
import { Registry } from './registry.js';
import { TemplateFreezer } from './template-freezer.js';
import { pauseWithHost, resumeWithHost } from './with-host.js';

/** Children of a fork that start side by side: more only wait for CPUs. */
const PARALLEL_STARTS = 2;
const MAX_CHILDREN = 100;

/** A child of a fork, by name. */
export interface ForkChild {
  readonly id: string;
  readonly generation: number;
  /** Default: the source's. */
  readonly policy?: Policy | undefined;
}

/** How commands are run that do not say it, in what begins with a snapshot. Absent: as in its sandbox. */
export type CommandDefaults = Partial<Pick<SandboxSpec, 'user' | 'workdir'>>;

/** What became of a child. */
export type ForkResult =
  | { readonly id: string; readonly sandbox: Sandbox }
  | { readonly id: string; readonly error: DormouseError };

/** All sandboxes of one host. */
export class SandboxHost {
  readonly #environment: SandboxEnvironment;
  readonly #snapshots: Snapshots;
  readonly #templates: TemplateFreezer;
  readonly #collector: Collector;
  readonly #memory: MemoryBudget;
  readonly #background: Background;
  readonly #registry = new Registry();
  readonly #creation: Creation;
  readonly #expiry: ExpiryLoop;
  /** Snapshots that are being made, by id. */
  readonly #snapshotting = new Map<string, Promise<Snapshot>>();

  private constructor(environment: SandboxEnvironment, snapshots: Snapshots, frozen: FrozenTemplates) {
    this.#environment = environment;
    this.#snapshots = snapshots;
    this.#memory = new MemoryBudget(environment, () => this.list());
    this.#background = new Background(environment.log);
    this.#creation = new Creation(environment, this.#registry, this.#memory);
    this.#templates = new TemplateFreezer(environment, frozen, (spec, origin, use) =>
      this.#creation.scratch(spec, origin, use),
    );
    this.#collector = new Collector(
      environment.config,
      environment.store,
      environment.layers,
      environment.log,
    );
    this.#expiry = new ExpiryLoop({
      list: () => this.list(),
      expire: (id, isDue) => this.#expire(this.get(id), isDue),
      onFailed: (id, error) => this.#onExpiryFailed(id, error),
      log: environment.log,
    });
  }

  /** What this host has done with sandboxes by itself. */
  get events(): HostEvents {
    return this.#environment.events;
  }

  /** From here sandboxes whose time has passed are paused, or removed. */
  startExpiry(): void {
    this.#expiry.start();
  }

  /** Begins no such pause any more, and resolves when none is under way. */
  async stopExpiry(): Promise<void> {
    await this.#expiry.close();
  }

  /**
   * Takes over what an earlier agent has left: running VMs are re-attached, what was interrupted is finished or rolled
   * back, half-made sandboxes are removed, and processes and memory that belong to nobody are freed.
   */
  static async open(given: HostEnvironment): Promise<SandboxHost> {
    const { config } = given;
    await mkdir(sandboxesDir(config), { recursive: true, mode: 0o711 });
    const store = await GenerationStore.open(generationsDir(config), {
      format: diskFormat(config),
      onProblem: (error) =>
        given.log.warn({ err: fromUnknown(error) }, 'a new generation may not survive a power cut'),
    });
    const slots = new VmSlots(config);
    const poolProblem = (error: unknown): void =>
      given.log.warn({ err: fromUnknown(error) }, 'could not end a VM that was started ahead');
    const readyPool = new ReadyPool({
      size: given.readySandboxes ?? 0,
      make: (kind, signal) => host.#memory.makeReady(kind, signal),
      end: (ready) => endReady(environment, ready),
      onProblem: poolProblem,
    });
    const environment: SandboxEnvironment = {
      ...given,
      store,
      slots,
      layers: new DiskLayers(config, store),
      pageServers: given.memoryServers ?? new PageServerPool(),
      standbyPool: new StandbyPool({ ...given, slots, size: given.standbys ?? 0, onProblem: poolProblem }),
      readyPool,
      events: await HostEvents.open(join(config.dataDir, 'events.jsonl'), given.log),
    };
    const snapshots = await Snapshots.open(snapshotsDir(config));
    const frozen = await FrozenTemplates.open(join(config.dataDir, 'frozen'));
    const host = new SandboxHost(environment, snapshots, frozen);
    try {
      host.#collector.hold(await recover(environment, host.#registry));
    } catch (error) {
      // Sandboxes that were taken over already are the next agent's.
      await host.release();
      throw error;
    }
    return host;
  }

  /** Room on this host and what may still be promised, in bytes. */
  room(): Promise<HostRoom & { readonly memoryLeftBytes: number }> {
    return this.#memory.room();
  }

  /** What there is at this moment. */
  figures(): Promise<HostFigures> {
    return hostFigures(this.#environment, this.list());
  }

  list(): readonly Sandbox[] {
    return this.#registry.list();
  }

  /** @throws DormouseError `not_found` */
  get(id: string): Sandbox {
    return this.#registry.get(id);
  }

  /**
   * Makes a sandbox and brings it to life: from a snapshot, from its template's frozen moment where there is one for
   * this size of machine, else by booting. The same id again joins the start in flight, or answers the sandbox there is.
   *
   * @throws DormouseError `invalid_request`, `not_found` (template, snapshot), `no_capacity`, `no_space`, `boot_failed`,
   *   `restore_failed`, `snapshot_corrupt`, `snapshot_incompatible`, `invalid_state` when this host knows a newer
   *   generation of the sandbox, or when a snapshot was frozen with another size of machine
   */
  async create(id: string, generation: number, request: SandboxRequest): Promise<Sandbox> {
    return await this.#creation.create(id, generation, () => this.#plan(id, request));
  }

  /**
   * Makes sandboxes that begin where another one is now. That one goes on as it was.
   *
   * @throws DormouseError `not_found`, `invalid_state`, `no_space`, `pause_failed`; what fails with a child is its result
   */
  async fork(id: string, children: readonly ForkChild[]): Promise<readonly ForkResult[]> {
    if (children.length < 1 || children.length > MAX_CHILDREN) {
      throw new DormouseError('invalid_request', `a fork makes 1 to ${MAX_CHILDREN} sandboxes`);
    }
    const source = this.get(id);
    const results = await source.moment('full', (manifest) => {
      const { snapshotId } = source.journal;
      const origin = { kind: 'generation', id: manifest.id, orBoot: false } as const;
      return limited(PARALLEL_STARTS, children, async (child): Promise<ForkResult> => {
        try {
          const spec = { ...source.spec, hostname: child.id };
          const { policy = source.journal.policy } = child;
          const plan = async () => ({ spec, origin, snapshotId, policy });
          return { id: child.id, sandbox: await this.#creation.create(child.id, child.generation, plan) };
        } catch (error) {
          return { id: child.id, error: fromUnknown(error) };
        }
      });
    });
    this.#shortenMemory(source);
    return results;
  }

  /** Freezes a sandbox. See `Sandbox.pause`. */
  async pause(id: string, generation: number, kind: 'full' | 'disk'): Promise<Sandbox> {
    const sandbox = this.#registry.current(id, generation);
    await sandbox.pause({ kind });
    this.#shorten(sandbox);
    return sandbox;
  }

  /** Brings a paused sandbox back. See `Sandbox.resume`. @throws DormouseError `no_capacity` as well */
  async resume(id: string, generation: number, options: ResumeOptions = {}): Promise<Sandbox> {
    const sandbox = this.#registry.current(id, generation);
    using _reserved = sandbox.holdsMemory ? undefined : await this.#memory.reserve(id, sandbox.spec);
    await sandbox.resume(generation, options);
    return sandbox;
  }

  /**
   * Makes a snapshot of a sandbox. The same id again joins the one that is being made, or answers the snapshot there is.
   */
  async createSnapshot(
    id: string,
    sandboxId: string,
    kind: 'full' | 'disk',
    defaults: CommandDefaults = {},
  ): Promise<Snapshot> {
    const present = this.#snapshots.find(id);
    if (present !== undefined) return present;
    const making =
      this.#snapshotting.get(id) ??
      this.#createSnapshot(id, sandboxId, kind, defaults).finally(() => this.#snapshotting.delete(id));
    this.#snapshotting.set(id, making);
    return await making;
  }

  async #createSnapshot(
    id: string,
    sandboxId: string,
    kind: 'full' | 'disk',
    defaults: CommandDefaults,
  ): Promise<Snapshot> {
    const source = this.get(sandboxId);
    const made = await source.moment(kind, async (manifest) => {
      const snapshot: Snapshot = {
        version: 1,
        id,
        generationId: manifest.id,
        kind: manifest.kind,
        spec: { ...source.spec, ...defaults, envs: {} },
        sandboxId,
        parentId: source.journal.snapshotId,
        createdAtMs: Date.now(),
      };
      await this.#snapshots.put(snapshot);
      return snapshot;
    });
    this.#shortenMemory(source);
    return made;
  }

  listSnapshots(): readonly Snapshot[] {
    return this.#snapshots.list();
  }

  /** Bytes on the disk of a snapshot. */
  sizesOf({ generationId }: Snapshot): GenerationSizes {
    return this.#environment.store.sizes(generationId);
  }

  /** Lets go of a snapshot. Unknown ids are fine: it is gone. */
  async deleteSnapshot(id: string): Promise<void> {
    await this.#snapshots.remove(id);
    this.#background.run(() => this.collect());
  }

  /** Removes a sandbox and everything it holds, a start in flight included. Unknown ids are fine: it is gone. */
  async destroy(id: string): Promise<void> {
    const sandbox = this.#registry.find(id) ?? (await this.#creation.admitted(id));
    if (sandbox === undefined) return;
    await sandbox.destroy();
    this.#registry.forget(sandbox);
  }

  /** Removes generations and layers that nobody can ask for any more. @param graceMs default 30 s */
  async collect(graceMs?: number): Promise<void> {
    await this.#collector.collect(() => this.#roots(), graceMs);
  }

  /**
   * Freezes a template, booted and ready, so that its sandboxes begin with a lazy restore; records its working set by
   * restoring it once. Nothing happens when that has been done for this image, kernel, agent and VMM.
   */
  freezeTemplate(name: string): Promise<'frozen' | 'was frozen'> {
    return this.#templates.freeze(name);
  }

  /** Has sandboxes of a template wait for somebody to want one, and processes for VMs, as many as the host was told. */
  async warmUp(name: string): Promise<void> {
    await this.#templates.warmUp(name);
  }

  /**
   * Pauses every running sandbox until the host is back. One that cannot be paused keeps its disk, and if even that
   * fails is shut down cleanly. Answers how many were paused, and how many were not.
   */
  pauseAll(reason: string): Promise<{ readonly paused: number; readonly shutDown: number }> {
    return pauseWithHost(this.#registry.running(), reason, this.#environment.log);
  }

  /** Resumes what was paused only because the host stopped. Answers how many came back. */
  resumeAll(): Promise<number> {
    const resume = ({ id, journal }: Sandbox) => this.resume(id, journal.generation + 1);
    return resumeWithHost(this.list(), resume, this.#environment.log);
  }

  /** Lets go of all VMs without ending them, and ends what only waits. */
  async release(): Promise<void> {
    await this.stopExpiry();
    await this.#background.close();
    await Promise.all(this.list().map((sandbox) => sandbox.release()));
    await this.#environment.readyPool.close();
    await this.#environment.standbyPool.close();
    await this.#environment.pageServers.close();
  }

  async #expire(sandbox: Sandbox, isDue: () => boolean): Promise<boolean> {
    if (!(await sandbox.expire(isDue))) return false;
    if (sandbox.journal.state === 'paused') this.#shorten(sandbox);
    else this.#registry.forget(sandbox);
    return true;
  }

  async #onExpiryFailed(id: string, error: Error): Promise<void> {
    const sandbox = this.#registry.find(id);
    this.#environment.log.warn(
      { sandboxId: id, err: error },
      'its time has passed, but it was neither paused nor removed',
    );
    if (sandbox?.journal.state === 'running') await sandbox.tell('pause_failed', error.message);
  }

  /** What a request means: everything that can be refused is refused here, before anything exists. */
  async #plan(id: string, request: SandboxRequest): Promise<Plan> {
    const { policy } = request;
    if (request.snapshotId !== undefined) {
      const snapshot = this.#snapshots.get(request.snapshotId);
      const { generationId, spec: frozen } = snapshot;
      assertSameSize(request, frozen);
      const { envs, internet, hostname = id } = request;
      const spec = { ...frozen, envs, internet, hostname };
      const origin: Origin =
        snapshot.kind === 'full'
          ? { kind: 'generation', id: generationId, orBoot: false }
          : { kind: 'disk', id: generationId };
      return { spec, origin, policy, snapshotId: snapshot.id };
    }
    const template = await findTemplate(this.#environment.config.assetsDir, request.template);
    const spec = resolveSpec(id, request, template);
    const frozen = await this.#templates.find(template, spec);
    const isStandard = spec.vcpus === template.vcpus && spec.memoryMb === template.memoryMb;
    if (frozen === undefined && isStandard && this.#environment.freezeTemplates === true) {
      this.#background.run(async () => void (await this.freezeTemplate(template.name)));
    }
    const origin: Origin =
      frozen === undefined ? { kind: 'boot' } : { kind: 'generation', id: frozen, orBoot: true };
    return { spec, origin, policy };
  }

  #roots(): Roots {
    const generations = [
      ...this.#snapshots.list().map(({ generationId }) => generationId),
      ...this.#templates.generations(),
    ];
    const specs = this.#snapshots.list().map(({ spec }) => spec);
    return { journals: this.list().map(({ journal }) => journal), generations, specs };
  }

  /** A long chain costs every restore a little: it is copied into one generation in the background. */
  #shorten(sandbox: Sandbox): void {
    this.#background.run(async () => {
      const { state, paused } = sandbox.journal;
      if (state !== 'paused' || paused === undefined) return;
      await shorten(this.#environment, paused.generationId, {
        ...this.#environment.chains,
        keep: this.#templates.generations(),
        signal: this.#background.signal,
        onShort: ({ id }) => sandbox.replacePaused(paused.generationId, id),
      });
    });
  }

  /** Checkpoints make chains longer as pauses do: the memory that a running sandbox is compared with is copied too. */
  #shortenMemory(sandbox: Sandbox): void {
    this.#background.run(async () => {
      const { state, memoryBase, loading } = sandbox.journal;
      if (state !== 'running' || memoryBase === undefined || loading === true) return;
      await shorten(this.#environment, memoryBase, {
        ...this.#environment.chains,
        maxLayers: Number.POSITIVE_INFINITY,
        keep: this.#templates.generations(),
        signal: this.#background.signal,
        onShort: ({ id }) => sandbox.replaceMemoryBase(memoryBase, id),
      });
    });
  }

  /** Resolves when nothing is done in the background any more. */
  settled(): Promise<void> {
    return this.#background.settled();
  }
}

/** @throws DormouseError `invalid_state` */
function assertSameSize(request: SandboxRequest, frozen: SandboxSpec): void {
  for (const [name, wanted, has] of [
    ['vcpus', request.vcpus, frozen.vcpus],
    ['memory_mb', request.memoryMb, frozen.memoryMb],
  ] as const) {
    if (wanted === undefined || wanted === has) continue;
    throw new DormouseError('invalid_state', `the snapshot was frozen with ${name} ${has}, not ${wanted}`, {
      suggestion: `Leave ${name} out.`,
    });
  }
}
