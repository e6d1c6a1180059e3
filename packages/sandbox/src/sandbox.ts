import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import { Guest } from '@dormouse/guest-link';
import { assertMove, isFinal, takesCommands } from '@dormouse/lifecycle';
import type { Served } from '@dormouse/page-server';
import type { Manifest } from '@dormouse/snapshot';
import { type MicroVm, readConsoleLog, type VmExit } from '@dormouse/vmm';
import { bootVm } from './boot.js';
import { type Checkpointed, checkpoint } from './checkpoint.js';
import type { Disk } from './disk.js';
import type { SandboxEnvironment } from './environment.js';
import { GuestSession } from './guest-session.js';
import { type SandboxPaths, sandboxesDir, sandboxPaths } from './host-config.js';
import { wakeAgain, wakeNew } from './identity.js';
import { type Journal, type PausedMoment, writeJournal } from './journal.js';
import type { StartedVm } from './live-vm.js';
import { pauseVm } from './pause.js';
import { endReady } from './ready-vm.js';
import { restoreVm } from './restore.js';
import type { SandboxSpec } from './sandbox-spec.js';
import { SerialQueue } from './serial-queue.js';
import type { VmSlot } from './vm-slots.js';

/** Directories with this prefix are on their way out; what a crash leaves of them is removed at the next start. */
export const DELETING_PREFIX = '.deleting-';

const SHUTDOWN_GRACE_MS = 3_000;
const SHUTDOWN_TIMEOUT_MS = 15_000;
/** The rest of a guest's memory comes within a second or two; the bound is for a host that swaps. */
const LOAD_TIMEOUT_MS = 120_000;
const LOAD_POLL_MS = 50;

/** What a new sandbox begins with. */
export type Origin =
  | { readonly kind: 'boot' }
  /** `orBoot`: a template's frozen moment, without which it is booted. */
  | { readonly kind: 'generation'; readonly id: string; readonly orBoot: boolean }
  /** The disk of a generation, booted. */
  | { readonly kind: 'disk'; readonly id: string };

/** How to resume. */
export interface ResumeOptions {
  /** Boot from the disk even where there is memory. Default no. */
  readonly reboot?: boolean;
  /** When the memory is damaged, fail instead of booting from the disk. Default no. */
  readonly failOnMemoryLoss?: boolean;
}

/** How often a restore that breaks off is begun again before the sandbox is left paused. */
const MAX_RESTORES = 3;

/** A VM and what belongs to it. */
interface LiveVm {
  readonly slot: VmSlot;
  readonly vm: MicroVm;
  readonly session: GuestSession;
  readonly loading: Promise<Served | DormouseError> | undefined;
}

/**
 * One sandbox on this host: an actor. Everything that changes its life goes through one queue, in order; what only
 * uses it (commands, files) runs beside, while it is running. The journal is written before the state is believed.
 */
export class Sandbox {
  readonly paths: SandboxPaths;
  readonly #environment: SandboxEnvironment;
  readonly #queue = new SerialQueue();
  readonly #abort = new AbortController();
  #journal: Journal;
  #live: LiveVm | undefined;
  #destroying: Promise<void> | undefined;
  #lastActiveAtMs: number;
  /** Restores in a row that broke off. */
  #brokenRestores = 0;
  /** As the last resume was asked. */
  #failOnMemoryLoss = false;

  constructor(environment: SandboxEnvironment, journal: Journal) {
    this.#environment = environment;
    this.#journal = journal;
    this.#lastActiveAtMs = journal.startedAtMs ?? journal.createdAtMs;
    this.paths = sandboxPaths(environment.config, journal.id);
  }

  get id(): string {
    return this.#journal.id;
  }

  /** The durable state, as last written. */
  get journal(): Journal {
    return this.#journal;
  }

  get spec(): SandboxSpec {
    return this.#journal.spec;
  }

  /** Unix milliseconds of the last use. */
  get lastActiveAtMs(): number {
    return this.#lastActiveAtMs;
  }

  /** Process id of the VM while there is one. */
  get vmPid(): number | undefined {
    return this.#live?.vm.pid;
  }

  /** Whether it holds memory, or is about to. */
  get holdsMemory(): boolean {
    const { state } = this.#journal;
    return state !== 'paused' && state !== 'stopped';
  }

  /** Brings a sandbox that has just been made to life. On failure nothing of it is left. */
  create(origin: Origin): Promise<void> {
    return this.#queue.run(async () => {
      try {
        await this.#record({});
        // No journal names it before the VM runs.
        using _pin = origin.kind === 'boot' ? undefined : this.#environment.store.pin(origin.id);
        const started = await this.#firstVm(origin);
        const memoryBase = started.loading === undefined || origin.kind === 'boot' ? undefined : origin.id;
        await this.#begin(started, memoryBase === undefined ? {} : { memoryBase });
      } catch (error) {
        await this.#removeEverything();
        throw error;
      }
    });
  }

  /** Freezes it and frees its process and memory. One that is paused already stays as it is. When it fails it runs on. */
  pause(options: { readonly kind?: Manifest['kind']; readonly resumeAtStart?: boolean } = {}): Promise<void> {
    return this.#queue.run(() => this.#pause(options.kind ?? 'full', options.resumeAtStart ?? false));
  }

  /**
   * Brings it back to life, as it was. One that runs already stays as it is. When it fails it stays paused.
   *
   * @param generation of the VM that is to come
   * @throws DormouseError `invalid_state`, `snapshot_corrupt`, `snapshot_incompatible`, `restore_failed`, `boot_failed`
   */
  resume(generation: number, options: ResumeOptions = {}): Promise<void> {
    return this.#queue.run(() => this.#resume(generation, options));
  }

  /**
   * Keeps the present moment, and goes on as it was.
   *
   * @param use is given the generation, which nobody collects meanwhile
   * @throws DormouseError `invalid_state`, `no_space`, `pause_failed`
   */
  moment<T>(kind: Manifest['kind'], use: (manifest: Manifest) => Promise<T>): Promise<T> {
    return this.#queue.run(async () => {
      const manifest = await this.#moment(kind);
      using _pin = this.#environment.store.pin(manifest.id);
      return await use(manifest);
    });
  }

  /** Puts another generation of the same content in place of the one it is paused in. False when that is not so. */
  replacePaused(before: string, after: string): Promise<boolean> {
    return this.#queue.run(async () => {
      const { state, paused } = this.#journal;
      if (state !== 'paused' || paused?.generationId !== before) return false;
      await this.#record({ paused: { ...paused, generationId: after } });
      return true;
    });
  }

  /** Finds the VM that a journal names, and repairs what a crash has interrupted. */
  reattach(): Promise<void> {
    return this.#queue.run(async () => {
      try {
        await this.#reattach();
      } catch (thrown) {
        const error = fromUnknown(thrown);
        this.#environment.log.warn({ sandboxId: this.id, err: error }, 'the VM does not answer; ending it');
        await this.#becomeStopped(`its VM no longer answered: ${error.message}`);
      }
    });
  }

  /**
   * The guest of a running sandbox, for commands and files. Counts as activity.
   *
   * @throws DormouseError `invalid_state` unless running, `guest_unreachable` when the guest does not answer
   */
  async guest(): Promise<Guest> {
    const { state, reason } = this.#journal;
    if (!takesCommands(state) || this.#live === undefined) {
      const why = reason === undefined ? '' : `: ${reason}`;
      throw new DormouseError('invalid_state', `the sandbox is ${state}${why}`);
    }
    this.touch();
    return await this.#live.session.guest();
  }

  /** What its restore was like, once all memory is there; undefined after a boot, and when it broke off. */
  async loaded(): Promise<Served | undefined> {
    const result = await this.#live?.loading;
    return result instanceof DormouseError ? undefined : result;
  }

  /** Notes that somebody uses the sandbox. */
  touch(): void {
    this.#lastActiveAtMs = Date.now();
  }

  /** The newest part of what the guest printed on its console. */
  readConsole(maxBytes: number): Promise<Buffer> {
    return readConsoleLog(this.paths.consoleLog, maxBytes);
  }

  /** Asks the guest to end by itself, ends it when it does not, and keeps its disk. */
  shutDown(reason: string): Promise<void> {
    return this.#queue.run(async () => {
      if (this.#journal.state !== 'running') return;
      await this.#askToPowerOff();
      await this.#becomeStopped(reason);
    });
  }

  /** Frees everything: process, RAM, layers, sockets, journal. Equal calls join. */
  destroy(): Promise<void> {
    this.#abort.abort();
    this.#destroying ??= this.#queue.run(() => this.#removeEverything());
    return this.#destroying;
  }

  /** Lets go of the VM without ending it: for an agent that stops while its sandboxes run on. */
  async release(): Promise<void> {
    const live = this.#live;
    // From here what becomes of the VM is no longer ours: a page server that is let go of looks like one that failed.
    this.#live = undefined;
    await live?.session.close();
    live?.vm.detach();
  }

  async #firstVm(origin: Origin): Promise<StartedVm> {
    if (origin.kind === 'boot') return await this.#boot();
    if (origin.kind === 'disk') {
      await this.#environment.store.verify(origin.id, { diskOnly: true });
      return await this.#boot({ kind: 'generation', id: origin.id });
    }
    const ready = origin.orBoot ? await this.#takeReady(origin.id) : undefined;
    if (ready !== undefined) return ready;
    try {
      const { spec, paths } = this;
      const request = { spec, generationId: origin.id, consoleLogPath: paths.consoleLog, as: 'new' } as const;
      return await restoreVm(this.#environment, request, this.#abort.signal);
    } catch (thrown) {
      const error = fromUnknown(thrown);
      if (!origin.orBoot || error.code === 'cancelled' || error.code === 'no_capacity') throw error;
      this.#environment.log.warn(
        { sandboxId: this.id, err: error },
        'the frozen template cannot be restored; booting',
      );
      return await this.#boot();
    }
  }

  /** A guest that waits for somebody to want it, made this sandbox's own. */
  async #takeReady(generationId: string): Promise<StartedVm | undefined> {
    const { readyPool, log } = this.#environment;
    const ready = readyPool.take({ spec: this.spec, generationId });
    if (ready === undefined) return undefined;
    const { vm, link } = ready.started;
    try {
      vm.moveConsoleLog(this.paths.consoleLog);
      await wakeNew(new Guest(link), this.spec);
      ready.pin[Symbol.dispose]();
      return ready.started;
    } catch (thrown) {
      log.warn({ sandboxId: this.id, err: fromUnknown(thrown) }, 'a sandbox that waited does not answer');
      await endReady(this.#environment, ready);
      return undefined;
    }
  }

  #boot(base: Disk['base'] = { kind: 'image', id: this.spec.imageId }): Promise<StartedVm> {
    const { log } = this.#environment;
    return bootVm(
      this.#environment,
      {
        spec: this.spec,
        base,
        consoleLogPath: this.paths.consoleLog,
        onFailedAttempt: (error) =>
          log.warn({ sandboxId: this.id, err: error }, 'the guest did not come up; again'),
      },
      this.#abort.signal,
    );
  }

  /** Records that a VM lives, and makes it the sandbox's. Ends it when that cannot be recorded. */
  async #begin(started: StartedVm, change: Partial<Journal>): Promise<void> {
    const { slot, vm, link, disk, loading } = started;
    const { pid, startTicks } = vm;
    try {
      await this.#record({
        state: 'running',
        vm: { ...slot.record, pid, startTicks },
        disk,
        startedAtMs: Date.now(),
        paused: undefined,
        resumeAtStart: undefined,
        reason: undefined,
        ...change,
      });
    } catch (error) {
      link.drop(fromUnknown(error));
      await vm.kill();
      await this.#environment.slots.release(slot);
      await this.#environment.layers.remove(disk.layers);
      throw error;
    }
    this.#adopt({ slot, vm, session: this.#session(vm, link), loading });
    this.#environment.log.info({ sandboxId: this.id, pid }, 'sandbox is running');
  }

  #session(vm: MicroVm, link: StartedVm['link'] | undefined): GuestSession {
    const { log } = this.#environment;
    return new GuestSession(vm, link, (error) => {
      log.warn(
        { sandboxId: this.id, code: error.code, detail: error.message },
        'the link to the guest was lost',
      );
    });
  }

  #adopt(live: LiveVm): void {
    this.#live = live;
    this.touch();
    void live.vm.exited.then((exit) => this.#queue.run(() => this.#onExit(live, exit))).catch(() => {});
    void live.loading?.then((result) => {
      if (result instanceof DormouseError) return this.#queue.run(() => this.#onLoadFailure(live, result));
      this.#brokenRestores = 0;
    });
  }

  async #onExit(live: LiveVm, exit: VmExit): Promise<void> {
    if (this.#live !== live || this.#journal.state !== 'running') return;
    // A VM whose memory cannot come ends itself, or is ended: that is the restore's failure.
    const loaded = await this.#loadedOrUndefined(live);
    if (loaded instanceof DormouseError) return await this.#onLoadFailure(live, loaded);
    await this.#becomeStopped(exitReason(exit));
    this.#environment.log.warn({ sandboxId: this.id, ...exit }, 'the VM ended by itself');
  }

  /** The result of a restore that is over, or of one whose VM has ended; undefined after a boot. */
  async #loadedOrUndefined({ loading }: LiveVm): Promise<Served | DormouseError | undefined> {
    return await loading;
  }

  /**
   * Hazard 7: memory that was still missing will never come, so the guest cannot go on. It is restored again from the
   * moment it began with, or, when that is damaged, booted from its disk.
   */
  async #onLoadFailure(live: LiveVm, error: DormouseError): Promise<void> {
    const { memoryBase, state, generation } = this.#journal;
    if (this.#live !== live || memoryBase === undefined || state !== 'running') return;
    this.#environment.log.warn({ sandboxId: this.id, err: error }, 'the restore broke off; restoring again');
    await this.#endVm(new DormouseError('guest_unreachable', 'the sandbox is being restored again'));
    await this.#dropDisk();
    await this.#record({ state: 'pausing' });
    await this.#record({
      state: 'paused',
      ...NO_VM,
      paused: { generationId: memoryBase, kind: 'full', atMs: Date.now() },
      reason: `its restore broke off: ${error.message}`,
    });
    this.#brokenRestores += 1;
    const isLost = error.code === 'snapshot_corrupt';
    try {
      if (isLost ? this.#failOnMemoryLoss : this.#brokenRestores === MAX_RESTORES) throw error;
      await this.#record({ state: 'resuming', generation });
      if (isLost) await this.#reboot(memoryBase, `its memory was lost: ${error.message}`);
      else await this.#resumeFrom({ generationId: memoryBase, kind: 'full', atMs: Date.now() }, {});
    } catch (thrown) {
      this.#environment.log.warn(
        { sandboxId: this.id, err: fromUnknown(thrown) },
        'the sandbox stays paused',
      );
      if (this.#journal.state === 'resuming') await this.#record({ state: 'paused' });
    }
  }

  async #pause(kind: Manifest['kind'], resumeAtStart: boolean): Promise<void> {
    if (this.#journal.state === 'paused') return;
    const live = await this.#readyToFreeze('paused');
    const paused = await pauseVm(this.#environment, {
      ...(await this.#freezable(live)),
      kind,
      onBegun: (intent) => this.#record({ state: 'pausing', intent }),
      onFailed: (error) => this.#runOn(live, kind, error),
    });
    // There is a new moment now, and the VM must not write to its disk any more: from here it only goes forward.
    await this.#becomePaused({ ...paused, kind, atMs: Date.now() }, resumeAtStart);
  }

  async #becomePaused(paused: PausedMoment, resumeAtStart: boolean): Promise<void> {
    const { onStep } = this.#environment;
    const layers = this.#journal.disk?.layers ?? [];
    await this.#record({ state: 'paused', ...NO_VM, paused, resumeAtStart });
    await onStep?.('recorded');
    await this.#endVm(
      new DormouseError('invalid_state', 'the sandbox was paused; what ran in it goes on when it is resumed'),
    );
    await this.#environment.layers.remove(layers);
    await onStep?.('freed');
  }

  async #resume(generation: number, options: ResumeOptions): Promise<void> {
    const { state, paused } = this.#journal;
    if (state === 'running') {
      if (generation > this.#journal.generation) await this.#record({ generation });
      return;
    }
    if (state !== 'paused' || paused === undefined) {
      throw new DormouseError('invalid_state', `the sandbox is ${state}, so it cannot be resumed`);
    }
    await this.#record({ state: 'resuming', generation });
    this.#failOnMemoryLoss = options.failOnMemoryLoss === true;
    try {
      await this.#resumeFrom(paused, options);
    } catch (error) {
      if (this.#journal.state === 'resuming') await this.#record({ state: 'paused' });
      throw error;
    }
  }

  async #resumeFrom({ generationId, kind }: PausedMoment, options: ResumeOptions): Promise<void> {
    const { store, log, onStep } = this.#environment;
    if (kind === 'full' && options.reboot !== true) {
      try {
        const { spec, paths } = this;
        const request = { spec, generationId, consoleLogPath: paths.consoleLog, as: 'itself' } as const;
        const started = await restoreVm(this.#environment, request, this.#abort.signal);
        await this.#begin(started, { resumedBy: 'memory', memoryBase: generationId });
        await onStep?.('resumed');
        return;
      } catch (thrown) {
        const error = fromUnknown(thrown);
        if (error.code !== 'snapshot_corrupt' || this.#failOnMemoryLoss) throw error;
        log.warn({ sandboxId: this.id, err: error }, 'the memory is damaged; booting from the disk');
        await this.#reboot(generationId, `its memory was lost: ${error.message}`);
        return;
      }
    }
    await store.verify(generationId, { diskOnly: true });
    await this.#reboot(generationId, undefined);
  }

  /** Boots from the disk of a generation, if that is whole. */
  async #reboot(generationId: string, reason: string | undefined): Promise<void> {
    await this.#environment.store.verify(generationId, { diskOnly: true });
    const started = await this.#boot({ kind: 'generation', id: generationId });
    await this.#begin(started, { resumedBy: 'reboot', memoryBase: undefined, reason });
  }

  async #moment(kind: Manifest['kind']): Promise<Manifest> {
    const { state, paused } = this.#journal;
    if (state === 'paused' && paused !== undefined) {
      if (kind === 'full' && paused.kind === 'disk') {
        throw new DormouseError('invalid_state', 'the sandbox was paused without its memory', {
          suggestion: 'Resume it first, or keep its disk only.',
        });
      }
      return this.#environment.store.read(paused.generationId);
    }
    const live = await this.#readyToFreeze('kept');
    await this.#record({ state: 'snapshotting' });
    let done: Checkpointed;
    try {
      done = await checkpoint(this.#environment, {
        ...(await this.#freezable(live)),
        kind,
        onDisk: (disk) => this.#record({ disk }),
        onStanding: (error) => this.#wake(live, kind, error),
      });
    } catch (thrown) {
      const error = fromUnknown(thrown);
      if (this.#journal.state === 'snapshotting') await this.#record({ state: 'running' });
      throw error;
    }
    const { manifest, disk, stoppedMs } = done;
    const memoryBase = kind === 'full' ? manifest.id : this.#journal.memoryBase;
    await this.#record({ state: 'running', disk, memoryBase });
    this.#environment.log.info({ sandboxId: this.id, stoppedMs: Math.round(stoppedMs) }, 'kept a moment');
    return manifest;
  }

  /** The VM, once all its memory is there. @throws DormouseError `invalid_state` */
  async #readyToFreeze(what: string): Promise<LiveVm> {
    const live = this.#live;
    if (this.#journal.state !== 'running' || live === undefined) {
      throw new DormouseError(
        'invalid_state',
        `the sandbox is ${this.#journal.state}, so it cannot be ${what}`,
      );
    }
    const result = await live.loading;
    if (!(result instanceof DormouseError)) return live;
    throw new DormouseError('pause_failed', `the sandbox is being restored again: ${result.message}`);
  }

  async #freezable(live: LiveVm) {
    const { disk, memoryBase } = this.#journal;
    if (disk === undefined) throw new DormouseError('internal', 'a running sandbox has no disk');
    const guest = await live.session.guest();
    return { spec: this.spec, vm: live.vm, slot: live.slot, guest, disk, memoryBase };
  }

  /** A pause has failed: the VM runs on, if there still is one. */
  async #runOn(live: LiveVm, kind: Manifest['kind'], error: DormouseError): Promise<void> {
    if (await this.#wake(live, kind, error)) await this.#record({ state: 'running', intent: undefined });
    else await this.#becomeStopped(`its VM ended while it was being paused: ${error.message}`);
  }

  /** Lets a VM that stands still go on. False when it has ended. */
  async #wake(live: LiveVm, kind: Manifest['kind'], cause: DormouseError | undefined): Promise<boolean> {
    const { log } = this.#environment;
    if (cause !== undefined) {
      log.warn({ sandboxId: this.id, err: cause }, 'the freeze failed; the sandbox runs on');
    }
    try {
      await live.vm.thaw();
      const guest = await live.session.guest();
      if (kind === 'disk') await guest.thaw();
      await wakeAgain(guest);
      return true;
    } catch (thrown) {
      const error = fromUnknown(thrown);
      const over = Symbol('over');
      const ended = await Promise.race([live.vm.exited, Promise.resolve(over)]);
      if (ended !== over) return false;
      log.warn({ sandboxId: this.id, err: error }, 'the guest does not confirm that it goes on');
      return (await live.vm.loading().catch(() => undefined)) !== undefined;
    }
  }

  async #reattach(): Promise<void> {
    const { store, slots, driver } = this.#environment;
    const { state, vm: recorded, intent } = this.#journal;
    if (state === 'resuming') return await this.#record({ state: 'paused' });
    if (recorded === undefined) return await this.#becomeStopped('it had no VM');
    const slot = await slots.adopt(recorded);
    const { pid, startTicks } = recorded;
    const { consoleLog: consoleLogPath } = this.paths;
    const committed = intent !== undefined && (await store.list()).includes(intent);
    const identity = { runDir: slot.runDir, logDir: slot.dir, consoleLogPath, pid, startTicks };
    const vm = await driver.attach(identity);
    if (vm !== undefined) {
      this.#adopt({ slot, vm, session: this.#session(vm, undefined), loading: this.#awaitLoaded(vm) });
    }
    if (state === 'pausing' && committed) {
      const { kind } = store.read(intent);
      return await this.#becomePaused({ generationId: intent, kind, atMs: Date.now() }, false);
    }
    if (vm === undefined) return await this.#becomeStopped('its VM ended while the host agent was away');
    if (state === 'pausing' || state === 'snapshotting') {
      await this.#correctDisk(vm);
      await this.#wake(this.#live!, 'disk', undefined);
      await this.#record({ state: 'running', intent: undefined });
    }
  }

  /** The journal names a layer before the VM gets it: what the VM has is what counts. */
  async #correctDisk(vm: MicroVm): Promise<void> {
    const { disk } = this.#journal;
    const top = this.#environment.layers.layerAt(await vm.topLayer());
    if (disk === undefined || top === undefined || disk.layers[0] === top) return;
    await this.#record({ disk: { ...disk, layers: disk.layers.slice(disk.layers.indexOf(top)) } });
  }

  /** The page server of a restore outlives an agent; this only watches it. */
  async #awaitLoaded(vm: MicroVm): Promise<Served | DormouseError> {
    const deadline = performance.now() + LOAD_TIMEOUT_MS;
    for (;;) {
      const loading = await vm.loading().catch(() => 'broken' as const);
      if (loading === 'done') return NOTHING_SERVED;
      if (loading === 'broken' || performance.now() > deadline) {
        return new DormouseError('restore_failed', 'the memory of the sandbox does not come');
      }
      await new Promise((resolve) => setTimeout(resolve, LOAD_POLL_MS));
    }
  }

  async #askToPowerOff(): Promise<void> {
    const live = this.#live;
    if (live === undefined) return;
    const patience = AbortSignal.timeout(SHUTDOWN_TIMEOUT_MS);
    try {
      const guest = await live.session.guest();
      await guest.shutdown('powerOff', { graceMs: SHUTDOWN_GRACE_MS, signal: patience });
      await Promise.race([
        live.vm.exited,
        new Promise((resolve) => patience.addEventListener('abort', resolve)),
      ]);
    } catch (error) {
      this.#environment.log.warn(
        { sandboxId: this.id, err: fromUnknown(error) },
        'the guest did not shut down',
      );
    }
  }

  async #becomeStopped(reason: string): Promise<void> {
    await this.#endVm(new DormouseError('invalid_state', `the sandbox is stopped: ${reason}`));
    await this.#record({ state: 'stopped', reason, vm: undefined, intent: undefined });
  }

  async #removeEverything(): Promise<void> {
    const { paths } = this;
    const present = await readdir(paths.dir).catch(() => undefined);
    if (present !== undefined && !isFinal(this.#journal.state)) await this.#record({ state: 'stopping' });
    await this.#endVm(new DormouseError('not_found', 'the sandbox was deleted'));
    await this.#dropDisk();
    if (present === undefined) return;
    const doomed = join(sandboxesDir(this.#environment.config), `${DELETING_PREFIX}${this.id}`);
    await rename(paths.dir, doomed);
    await rm(doomed, { recursive: true, force: true });
  }

  async #dropDisk(): Promise<void> {
    await this.#environment.layers.remove(this.#journal.disk?.layers ?? []);
  }

  /** Ends the VM and gives its place up, also one that only the journal knows. */
  async #endVm(reason: DormouseError): Promise<void> {
    const live = this.#live;
    this.#live = undefined;
    live?.session.drop(reason);
    await live?.vm.kill();
    const { slots } = this.#environment;
    const { vm } = this.#journal;
    const slot = live?.slot ?? (vm === undefined ? undefined : await slots.adopt(vm));
    if (slot !== undefined) await slots.release(slot);
  }

  async #record(change: Partial<Journal>): Promise<void> {
    const next: Journal = { ...this.#journal, ...change };
    if (next.state !== this.#journal.state) assertMove(this.#journal.state, next.state);
    await writeJournal(this.paths.journal, next);
    this.#journal = next;
    if (change.disk !== undefined) this.#environment.layers.recorded(change.disk);
  }
}

/** What the journal of a sandbox without a VM does not say. */
const NO_VM = { vm: undefined, disk: undefined, memoryBase: undefined, intent: undefined } as const;

/** Of a restore that another process has begun, nobody here knows more than that it is over. */
const NOTHING_SERVED: Served = {
  requests: 0,
  sentAhead: 0,
  pushed: 0,
  bytesSent: 0,
  untilRunningMs: 0,
  untilLoadedMs: 0,
  requestLatencyUs: { p50: 0, p95: 0, max: 0 },
};

function exitReason(exit: VmExit): string {
  if (exit.exitCode === 0) return 'the guest powered off or restarted';
  const how = exit.signal === undefined ? `exit code ${exit.exitCode ?? 'unknown'}` : exit.signal;
  return `its VM ended by itself (${how})`;
}
