import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import type { Guest } from '@dormouse/guest-link';
import { assertMove, isFinal, takesCommands } from '@dormouse/lifecycle';
import type { Served } from '@dormouse/page-server';
import type { Manifest } from '@dormouse/snapshot';
import { type MicroVm, readConsoleLog, type VmExit } from '@dormouse/vmm';
import { SerialQueue } from '../concurrency/serial-queue.js';
import { DELETING_PREFIX, type SandboxPaths, sandboxesDir, sandboxPaths } from '../config/host-config.js';
import type { Policy } from '../config/policy.js';
import { logOf, type SandboxLog } from '../config/sandbox-log.js';
import type { SandboxSpec } from '../config/sandbox-spec.js';
import type { Disk } from '../disk/disk.js';
import { parentsOf } from '../disk/parents.js';
import type { SandboxEnvironment } from '../environment.js';
import { Activity } from '../expiry/activity.js';
import type { ExpiryView } from '../expiry/expiry.js';
import { MetricsHistory } from '../metrics/history.js';
import { inPhases } from '../observation/phases.js';
import type { HostEventKind } from '../records/host-events.js';
import { type Journal, type PauseCause, type PausedMoment, writeJournal } from '../records/journal.js';
import { awaitLoaded } from '../transitions/await-loaded.js';
import { type Checkpointed, checkpoint } from '../transitions/checkpoint.js';
import { bootFrom, firstVm, type Making, type Origin } from '../transitions/first-vm.js';
import { captureDisk } from '../transitions/freeze.js';
import { pauseVm } from '../transitions/pause.js';
import { restoreVm } from '../transitions/restore.js';
import { GuestSession } from '../vm/guest-session.js';
import { goOn, type LiveVm, powerOff, type StartedVm } from '../vm/live-vm.js';
import type { VmSlotRecord } from '../vm/vm-slots.js';

/** A pause that has begun takes seconds; a guest that hangs would take for ever. */
const RELEASE_PATIENCE_MS = 30_000;

/**
 * A VM whose memory does not come any more may answer nobody, and can be restored: less patience than with one that
 * has nowhere to go back to.
 */
const LOADING_ATTACH_TIMEOUT_MS = 10_000;

/** How to resume. */
export interface ResumeOptions {
  /** Boot from the disk even where there is memory. Default no. */
  readonly reboot?: boolean;
  /** What the host does with it by itself, from now on. Default: as it was. */
  readonly policy?: Policy | undefined;
}

/** How often a restore that breaks off is begun again before the sandbox is left paused. */
const MAX_RESTORES = 3;

/** Use of a guest that counts as activity until it is disposed. */
export interface GuestUse extends Disposable {
  readonly guest: Guest;
}

/**
 * One sandbox on this host: an actor. Everything that changes its life goes through one queue, in order; what only
 * uses it (commands, files) runs beside, while it is running. The journal is written before the state is believed.
 */
export class Sandbox {
  readonly paths: SandboxPaths;
  /** What it was doing while it ran. */
  readonly metrics: MetricsHistory;
  readonly #environment: SandboxEnvironment;
  readonly #log: SandboxLog;
  readonly #queue = new SerialQueue();
  readonly #abort = new AbortController();
  #journal: Journal;
  #live: LiveVm | undefined;
  #destroying: Promise<void> | undefined;
  readonly #activity = new Activity();
  /** Its time has passed, and it is being paused or removed for that: nobody begins anything any more. */
  #expiring = false;
  /** All memory of its VM is there. */
  #isLoaded = false;
  /** Restores in a row that broke off. */
  #brokenRestores = 0;

  constructor(environment: SandboxEnvironment, journal: Journal) {
    this.#environment = environment;
    this.#log = logOf(environment.log, journal.id);
    this.#journal = journal;
    this.paths = sandboxPaths(environment.config, journal.id);
    this.metrics = new MetricsHistory(this.paths.metrics);
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

  /** Unix milliseconds of the last use: now, while something is under way. */
  get lastActiveAtMs(): number {
    const { state, startedAtMs, createdAtMs } = this.#journal;
    return takesCommands(state) ? this.#activity.lastWallMs : (startedAtMs ?? createdAtMs);
  }

  /** What decides when it times out. */
  get expiry(): ExpiryView {
    const { state, policy, stopCause } = this.#journal;
    const { inUse, lastMonotonicMs: lastActiveMs } = this.#activity;
    const removing = state === 'stopping' && stopCause === 'timeout';
    return { state, policy, removing, inUse, lastActiveMs };
  }

  /** Process id of the VM while there is one. */
  get vmPid(): number | undefined {
    return this.#live?.vm.pid;
  }

  get isRunning(): boolean {
    return this.#journal.state === 'running' && !this.#expiring;
  }

  /** It runs, and all of its memory is there. */
  get isSettled(): boolean {
    return this.isRunning && this.#live !== undefined && this.#isLoaded;
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
        const started = await firstVm(this.#environment, this.#making(), origin);
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
    const cause = options.resumeAtStart === true ? 'shutdown' : undefined;
    return this.#queue.run(() => this.#pause(options.kind ?? 'full', cause));
  }

  /**
   * Pauses it, or frees everything, because its time has passed: unless it does not run, or `isDue` says when its turn
   * comes that it is not so any more. Whether it did. When a pause fails it runs on; a removal that fails is finished by
   * the next call.
   */
  expire(isDue: () => boolean): Promise<boolean> {
    return this.#queue.run(async () => {
      const { state, removing, policy } = this.expiry;
      if ((state !== 'running' && !removing) || !isDue()) return false;
      this.#expiring = true;
      try {
        if (removing || policy.onTimeout === 'kill') await this.#kill();
        else await this.#pause('full', 'timeout');
      } finally {
        this.#expiring = false;
      }
      return true;
    });
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

  /** Puts another generation of the same content in place of the one it is paused in, when it still is. */
  replacePaused(before: string, after: string): Promise<void> {
    return this.#queue.run(async () => {
      const { state, paused } = this.#journal;
      if (state !== 'paused' || paused?.generationId !== before) return;
      await this.#record({ paused: { ...paused, generationId: after } });
    });
  }

  /** Finds the VM that a journal names, and repairs what a crash has interrupted. */
  reattach(): Promise<void> {
    return this.#queue.run(async () => {
      try {
        await this.#reattach();
      } catch (thrown) {
        const error = fromUnknown(thrown);
        this.#log.warn({ err: error }, 'the VM does not answer; ending it');
        await this.#onVmEnded(`its VM no longer answered: ${error.message}`);
      }
    });
  }

  /**
   * The guest of a running sandbox, for something short. Counts as activity, once.
   *
   * @throws DormouseError `invalid_state` unless running, `guest_unreachable` when the guest does not answer
   */
  async guest(): Promise<Guest> {
    const { session } = this.#usable();
    this.#activity.touch();
    return await session.guest();
  }

  /**
   * The guest of a running sandbox, for something that may last: activity until it is disposed.
   *
   * @throws DormouseError like `guest`
   */
  async use(): Promise<GuestUse> {
    const { session } = this.#usable();
    const use = this.#activity.begin();
    try {
      return { guest: await session.guest(), [Symbol.dispose]: () => use[Symbol.dispose]() };
    } catch (error) {
      use[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * The guest of a running sandbox, for looking at it: no activity.
   *
   * @param timeoutMs how long its link may take to stand, default 15,000
   * @throws DormouseError like `guest`
   */
  async observe(timeoutMs?: number): Promise<Guest> {
    return await this.#usable().session.guest(timeoutMs);
  }

  /** What its restore was like, once all memory is there; undefined after a boot, and when it broke off. */
  async loaded(): Promise<Served | undefined> {
    const result = await this.#live?.loading;
    return result instanceof DormouseError ? undefined : result;
  }

  /** Notes that somebody uses the sandbox. @throws DormouseError `invalid_state` unless running */
  touch(): void {
    this.#usable();
    this.#activity.touch();
  }

  /** What the host does with it by itself, from now on; undefined: as it was. @throws like `touch` */
  setPolicy(policy: Policy | undefined): Promise<void> {
    return this.#queue.run(async () => {
      if (policy === undefined) return;
      this.#usable();
      await this.#record({ policy });
    });
  }

  /** Tells what the host has done with it by itself. It is done all the same when that cannot be written down. */
  async tell(kind: HostEventKind, reason: string, key?: string): Promise<void> {
    const { events } = this.#environment;
    const { id, generation } = this.#journal;
    try {
      await events.append({ kind, sandboxId: id, generation, reason, key });
    } catch (error) {
      this.#log.warn({ kind, err: fromUnknown(error) }, 'an event was not written down');
    }
  }

  /** The newest part of what the guest printed on its console. */
  readConsole(maxBytes: number): Promise<Buffer> {
    return readConsoleLog(this.paths.consoleLog, maxBytes);
  }

  /** Asks the guest to end by itself, ends it when it does not, and keeps its disk. */
  shutDown(reason: string): Promise<void> {
    return this.#queue.run(async () => {
      if (this.#journal.state !== 'running') return;
      await powerOff(this.#live, this.#log);
      await this.#onVmEnded(reason, 'shutdown');
    });
  }

  /** Frees everything: process, RAM, layers, sockets, journal. Equal calls join; one that fails can be repeated. */
  destroy(): Promise<void> {
    this.#abort.abort();
    this.#destroying ??= this.#queue
      .run(() => this.#removeEverything())
      .catch((error: unknown) => {
        this.#destroying = undefined;
        throw error;
      });
    return this.#destroying;
  }

  /** Lets go of the VM without ending it: for an agent that stops while its sandboxes run on. */
  async release(): Promise<void> {
    // What has begun is finished, or rolled back, before anybody lets go; but nobody waits for ever.
    await Promise.race([this.#queue.run(async () => {}), waitMs(RELEASE_PATIENCE_MS)]);
    const live = this.#live;
    // From here what becomes of the VM is no longer ours: a page server that is let go of looks like one that failed.
    this.#live = undefined;
    await live?.session.close();
    live?.vm.detach();
  }

  /** What making a VM of this sandbox takes. */
  #making(): Making {
    return {
      spec: this.spec,
      consoleLogPath: this.paths.consoleLog,
      log: this.#log,
      signal: this.#abort.signal,
    };
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
        loading: loading === undefined ? undefined : true,
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
    this.#log.info({ pid }, 'sandbox is running');
  }

  #session(vm: MicroVm, link: StartedVm['link'] | undefined): GuestSession {
    return new GuestSession(vm, link, (error) => {
      this.#log.warn({ code: error.code, detail: error.message }, 'the link to the guest was lost');
    });
  }

  #adopt(live: LiveVm): void {
    this.#live = live;
    this.#isLoaded = live.loading === undefined;
    this.#activity.touch();
    void live.vm.exited.then((exit) => this.#queue.run(() => this.#onExit(live, exit))).catch(() => {});
    void live.loading?.then((result) => {
      if (result instanceof DormouseError) return this.#queue.run(() => this.#onLoadFailure(live, result));
      this.#brokenRestores = 0;
      if (this.#live === live) this.#isLoaded = true;
      return this.#queue.run(() => this.#onLoaded(live));
    });
  }

  async #onLoaded(live: LiveVm): Promise<void> {
    if (this.#live !== live || this.#journal.loading === undefined) return;
    try {
      await this.#record({ loading: undefined });
    } catch (error) {
      this.#log.warn({ err: fromUnknown(error) }, 'it was not written down that all memory is there');
    }
  }

  async #onExit(live: LiveVm, exit: VmExit): Promise<void> {
    if (this.#live !== live || this.#journal.state !== 'running') return;
    // A VM whose memory cannot come ends itself, or is ended: that is the restore's failure.
    const loaded = await this.#loadedOrUndefined(live);
    if (loaded instanceof DormouseError) return await this.#onLoadFailure(live, loaded);
    await this.#onVmEnded(exitReason(exit));
    this.#log.warn({ ...exit }, 'the VM ended by itself');
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
    this.#log.warn({ err: error }, 'the restore broke off; restoring again');
    const moment = await this.#goBackTo(memoryBase, error);
    this.#brokenRestores += 1;
    const isLost = error.code === 'snapshot_corrupt';
    try {
      if (isLost ? this.#failOnMemoryLoss : this.#brokenRestores === MAX_RESTORES) throw error;
      if (!isLost) await this.tell('restored_again', error.message);
      await this.#record({ state: 'resuming', generation });
      if (isLost) await this.#reboot(memoryBase, `its memory was lost: ${error.message}`);
      else await this.#resumeFrom(moment, {});
    } catch (thrown) {
      this.#log.warn({ err: fromUnknown(thrown) }, 'the sandbox stays paused');
      await this.tell('stays_paused', fromUnknown(thrown).message);
      await this.#record({ state: 'paused', resumeAtStart: undefined });
    }
  }

  /** Ends the VM: the sandbox is where it began, and is to run again. */
  async #goBackTo(generationId: string, error: DormouseError): Promise<PausedMoment> {
    // Written down before its VM ends: what is found without one, and with nowhere to go back to, has stopped for good.
    await this.#record({ state: 'pausing', intent: generationId });
    await this.#environment.onStep?.('restore-broken');
    await this.#endVm(new DormouseError('guest_unreachable', 'the sandbox is being restored again'));
    await this.#dropDisk();
    const paused: PausedMoment = { generationId, kind: 'full', atMs: Date.now() };
    const reason = `its restore broke off: ${error.message}`;
    await this.#record({ state: 'paused', ...NO_VM, paused, resumeAtStart: true, reason });
    return paused;
  }

  async #pause(kind: Manifest['kind'], cause: PauseCause | undefined): Promise<void> {
    if (this.#journal.state === 'paused') return;
    const live = await this.#readyToFreeze('paused');
    await inPhases(this.#environment, 'pause', async (phase) => {
      const request = {
        ...(await this.#freezable(live)),
        kind,
        onBegun: (intent: string) =>
          this.#record({ state: 'pausing', loading: undefined, intent, intentCause: cause }),
        onFailed: (error: DormouseError) => this.#runOn(live, kind, error),
      };
      const paused = await pauseVm(this.#environment, request, phase);
      // There is a new moment now, and the VM must not write to its disk any more: from here it only goes forward.
      await phase('free', () => this.#becomePaused({ ...paused, kind, atMs: Date.now(), cause }));
    });
  }

  async #becomePaused(paused: PausedMoment): Promise<void> {
    const { onStep } = this.#environment;
    const { vm: place, disk } = this.#journal;
    // Told first: what is told twice, before a crash and after it, counts once.
    await this.#tellPaused(paused);
    const resumeAtStart = paused.cause === 'shutdown' ? true : undefined;
    await this.#record({ state: 'paused', ...NO_VM, paused, resumeAtStart });
    await onStep?.('recorded');
    await this.#endVm(
      new DormouseError('invalid_state', 'the sandbox was paused; what ran in it goes on when it is resumed'),
      place,
    );
    await this.#environment.layers.remove(disk?.layers ?? []);
    await onStep?.('freed');
  }

  async #tellPaused({ cause, generationId }: PausedMoment): Promise<void> {
    if (cause === undefined) return;
    const [kind, reason] = {
      timeout: ['auto_paused', this.#timedOut()],
      shutdown: ['paused_with_host', 'the host was shut down'],
      vm_ended: ['vm_ended', this.#journal.reason ?? ''],
    }[cause] as [HostEventKind, string];
    await this.tell(kind, reason, generationId);
  }

  #timedOut(): string {
    return `it was not used for ${this.#journal.policy.timeoutSec} s`;
  }

  /** Frees everything, because its time has passed. The journal says so first: a crash does not leave half of it. */
  async #kill(): Promise<void> {
    await this.#record({ state: 'stopping', stopCause: 'timeout' });
    this.#abort.abort();
    await this.#removeEverything();
    this.#destroying = Promise.resolve();
  }

  async #resume(generation: number, options: ResumeOptions): Promise<void> {
    const { state, paused } = this.#journal;
    const { policy = this.#journal.policy } = options;
    if (state === 'running') {
      if (generation > this.#journal.generation) await this.#record({ generation });
      if (options.policy !== undefined) await this.#record({ policy });
      this.#activity.touch();
      return;
    }
    if (state !== 'paused' || paused === undefined) {
      throw new DormouseError('invalid_state', `the sandbox is ${state}, so it cannot be resumed`);
    }
    await this.#record({ state: 'resuming', generation, policy });
    try {
      await this.#resumeFrom(paused, options);
    } catch (error) {
      if (this.#journal.state === 'resuming') await this.#record({ state: 'paused' });
      throw error;
    }
  }

  async #resumeFrom({ generationId, kind, cause }: PausedMoment, options: ResumeOptions): Promise<void> {
    const { onStep } = this.#environment;
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
        this.#log.warn({ err: error }, 'the memory is damaged; booting from the disk');
        await this.#reboot(generationId, `its memory was lost: ${error.message}`);
        return;
      }
    }
    if (cause !== 'vm_ended') return await this.#reboot(generationId, undefined);
    const reason = `its memory was lost: ${this.#journal.reason ?? 'its VM ended'}`;
    if (this.#failOnMemoryLoss && options.reboot !== true) {
      throw new DormouseError('snapshot_corrupt', reason, {
        suggestion: 'Resume it with `reboot` to boot it from its disk.',
      });
    }
    await this.#reboot(generationId, reason);
  }

  /** Boots from the disk of a generation, if that is whole. */
  async #reboot(generationId: string, reason: string | undefined): Promise<void> {
    await this.#environment.store.verify(generationId, { diskOnly: true });
    const started = await bootFrom(this.#environment, this.#making(), {
      kind: 'generation',
      id: generationId,
    });
    await this.#begin(started, { resumedBy: 'reboot', memoryBase: undefined, reason });
    if (reason !== undefined) await this.tell('rebooted', reason);
  }

  get #failOnMemoryLoss(): boolean {
    return this.#journal.policy.onMemoryLoss === 'fail';
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
    await this.#record({ state: 'snapshotting', loading: undefined });
    let done: Checkpointed;
    try {
      done = await checkpoint(this.#environment, {
        ...(await this.#freezable(live)),
        kind,
        onDisk: (disk) => this.#record({ disk }),
        onStanding: (error) => goOn(live, kind, error, this.#log),
        onKept: async ({ id }, disk) => {
          const memoryBase = kind === 'full' ? id : this.#journal.memoryBase;
          await this.#record({ state: 'running', disk, memoryBase });
        },
      });
    } catch (thrown) {
      const error = fromUnknown(thrown);
      if (this.#journal.state === 'snapshotting') await this.#record({ state: 'running' });
      throw error;
    }
    const { manifest, stoppedMs } = done;
    this.#log.info({ stoppedMs: Math.round(stoppedMs) }, 'kept a moment');
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
    if (await goOn(live, kind, error, this.#log))
      await this.#record({ state: 'running', intent: undefined, intentCause: undefined });
    else await this.#onVmEnded(`its VM ended while it was being paused: ${error.message}`);
  }

  async #reattach(): Promise<void> {
    const { store } = this.#environment;
    const { state, vm: recorded, intent, intentCause: cause, memoryBase, loading } = this.#journal;
    if (state === 'resuming') return await this.#record({ state: 'paused' });
    if (state === 'pausing' && intent === memoryBase && intent !== undefined) {
      return await this.#restoreAtStart(intent, new DormouseError('restore_failed', 'the host agent ended'));
    }
    if (state === 'pausing' && intent !== undefined && (await store.list()).includes(intent)) {
      const { kind } = store.read(intent);
      return await this.#becomePaused({ generationId: intent, kind, atMs: Date.now(), cause });
    }
    if (recorded === undefined) return await this.#onVmEnded('it had no VM');
    const vm = await this.#attach(recorded).catch((error: unknown) => {
      if (loading === undefined) throw error;
      this.#log.warn({ err: fromUnknown(error) }, 'the VM does not answer; its memory was still to come');
    });
    if (vm === undefined) {
      const error = new DormouseError('restore_failed', 'its VM ended while the host agent was away');
      if (loading === undefined || memoryBase === undefined) return await this.#onVmEnded(error.message);
      return await this.#restoreAtStart(memoryBase, error);
    }
    if (state === 'pausing' || state === 'snapshotting') {
      await this.#correctDisk(vm);
      await goOn(this.#live!, 'disk', undefined, this.#log);
      await this.#record({ state: 'running', intent: undefined, intentCause: undefined });
    }
  }

  /** Its restore has broken off with an earlier agent: it is begun again once the host is open. */
  async #restoreAtStart(generationId: string, error: DormouseError): Promise<void> {
    await this.#goBackTo(generationId, error);
    await this.tell('restored_again', error.message);
  }

  /** Takes the VM of a journal over; undefined when it has ended. */
  async #attach(recorded: NonNullable<Journal['vm']>): Promise<MicroVm | undefined> {
    const { slots, driver } = this.#environment;
    const slot = await slots.adopt(recorded);
    const { pid, startTicks } = recorded;
    const { consoleLog: consoleLogPath } = this.paths;
    const identity = { runDir: slot.runDir, logDir: slot.dir, consoleLogPath, pid, startTicks };
    const patienceMs = this.#journal.loading === undefined ? undefined : LOADING_ATTACH_TIMEOUT_MS;
    const vm = await driver.attach(identity, patienceMs);
    if (vm !== undefined) {
      this.#adopt({ slot, vm, session: this.#session(vm, undefined), loading: awaitLoaded(vm) });
    }
    return vm;
  }

  /** The journal names a layer before the VM gets it: what the VM has is what counts. */
  async #correctDisk(vm: MicroVm): Promise<void> {
    const { disk } = this.#journal;
    const top = this.#environment.layers.layerAt(await vm.topLayer());
    if (disk === undefined || top === undefined || disk.layers[0] === top) return;
    await this.#record({ disk: { ...disk, layers: disk.layers.slice(disk.layers.indexOf(top)) } });
  }

  /**
   * Its VM is no more: its memory is lost, and its disk as it was then is a moment to boot from. Only where that cannot
   * be kept it has stopped for good.
   */
  async #onVmEnded(reason: string, cause: PauseCause = 'vm_ended'): Promise<void> {
    await this.#endVm(new DormouseError('invalid_state', `its VM is no more: ${reason}`));
    const { disk } = this.#journal;
    if (disk === undefined) return await this.#becomeStopped(reason);
    let generationId: string;
    try {
      generationId = await this.#keepDisk(disk, { reason, intentCause: cause });
    } catch (thrown) {
      const error = fromUnknown(thrown);
      this.#log.warn({ err: error }, 'the disk of a VM that has ended was not kept');
      return await this.#becomeStopped(`${reason}; its disk was not kept: ${error.message}`);
    }
    await this.#becomePaused({ generationId, kind: 'disk', atMs: Date.now(), cause });
  }

  async #keepDisk(disk: Disk, why: Pick<Journal, 'reason' | 'intentCause'>): Promise<string> {
    const { store } = this.#environment;
    await using draft = await store.begin(parentsOf({ disk, memoryBase: undefined }));
    if (this.#journal.state === 'snapshotting') await this.#record({ state: 'running' });
    await this.#record({
      state: 'pausing',
      intent: draft.id,
      loading: undefined,
      memoryBase: undefined,
      ...why,
    });
    const { onStep } = this.#environment;
    await onStep?.('disk-begun');
    const captured = await captureDisk(this.#environment, { spec: this.spec, disk }, draft);
    await captured.commit();
    await onStep?.('committed');
    return draft.id;
  }

  async #becomeStopped(reason: string): Promise<void> {
    await this.tell('stopped', reason, `${this.id} stopped ${this.#journal.generation}`);
    await this.#record({ state: 'stopped', reason, vm: undefined, intent: undefined });
  }

  async #removeEverything(): Promise<void> {
    const { paths } = this;
    const present = await readdir(paths.dir).catch(() => undefined);
    const { stopCause, generation } = this.#journal;
    if (stopCause === 'timeout' && present !== undefined)
      await this.tell('killed', this.#timedOut(), `${this.id} killed ${generation}`);
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
  async #endVm(reason: DormouseError, place: VmSlotRecord | undefined = this.#journal.vm): Promise<void> {
    const live = this.#live;
    this.#live = undefined;
    live?.session.drop(reason);
    await live?.vm.kill();
    // What its restore still writes down is a part of it.
    await live?.loading;
    const { slots } = this.#environment;
    const slot = live?.slot ?? (place === undefined ? undefined : await slots.adopt(place));
    if (slot === undefined) return;
    await slots.release(slot);
    // Given up once: whoever comes here again must not free the user of another VM.
    this.#journal = { ...this.#journal, vm: undefined };
  }

  /** What there is of a sandbox that may be used. @throws DormouseError `invalid_state` */
  #usable(): LiveVm {
    const { state, reason } = this.#journal;
    if (this.#expiring)
      throw new DormouseError('invalid_state', 'the sandbox is being paused or ended: its time has passed');
    if (takesCommands(state) && this.#live !== undefined) return this.#live;
    const why = reason === undefined ? '' : `: ${reason}`;
    throw new DormouseError('invalid_state', `the sandbox is ${state}${why}`);
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
const NO_VM = {
  vm: undefined,
  disk: undefined,
  memoryBase: undefined,
  loading: undefined,
  intent: undefined,
  intentCause: undefined,
} as const;

function waitMs(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}

function exitReason(exit: VmExit): string {
  if (exit.exitCode === 0) return 'the guest powered off or restarted';
  const how = exit.signal === undefined ? `exit code ${exit.exitCode ?? 'unknown'}` : exit.signal;
  return `its VM ended by itself (${how})`;
}
