import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DormouseError, fromUnknown, systemErrorCode } from '@dormouse/errors';
import type { Guest } from '@dormouse/guest-link';
import { takesCommands } from '@dormouse/lifecycle';
import type { Served } from '@dormouse/page-server';
import type { Manifest } from '@dormouse/snapshot';
import { readConsoleLog } from '@dormouse/vmm';
import { everyStep } from '../concurrency/every-step.js';
import { SerialQueue } from '../concurrency/serial-queue.js';
import { DELETING_PREFIX, type SandboxPaths, sandboxesDir } from '../config/host-config.js';
import type { Policy } from '../config/policy.js';
import type { SandboxSpec } from '../config/sandbox-spec.js';
import type { SandboxEnvironment } from '../environment.js';
import { Activity } from '../expiry/activity.js';
import type { ExpiryView } from '../expiry/expiry.js';
import { MetricsHistory } from '../metrics/history.js';
import type { HostEventKind } from '../records/host-events.js';
import { changed, type Journal, loaded, stopping } from '../records/journal.js';
import { firstVm, type Origin } from '../transitions/first-vm.js';
import { type LiveVm, powerOff } from '../vm/live-vm.js';
import { timedOut } from './become.js';
import { fallAsleep, keepMoment } from './fall-asleep.js';
import { Life } from './life.js';
import { onExit, onLoadFailure, onVmEnded } from './lose-vm.js';
import { takeOver } from './take-over.js';
import { type ResumeOptions, wakeUp } from './wake-up.js';

/** A pause that has begun takes seconds; a guest that hangs would take for ever. */
const RELEASE_PATIENCE_MS = 30_000;
/** How often a restore that breaks off is begun again before the sandbox is left paused. */
const MAX_RESTORES = 3;

/** Use of a guest that counts as activity until it is disposed. */
export interface GuestUse extends Disposable {
  readonly guest: Guest;
}

/**
 * One sandbox on this host: an actor. Everything that changes its life goes through one queue, in order; what only
 * uses it (commands, files) runs beside, while it is running.
 */
export class Sandbox {
  /** What it was doing while it ran. */
  readonly metrics: MetricsHistory;
  readonly #environment: SandboxEnvironment;
  readonly #life: Life;
  readonly #queue = new SerialQueue();
  readonly #activity = new Activity();
  #destroying: Promise<void> | undefined;
  /** Its time has passed, and it is being paused or removed for that: nobody begins anything any more. */
  #expiring = false;
  /** Restores in a row that broke off. */
  #brokenRestores = 0;

  constructor(environment: SandboxEnvironment, journal: Journal) {
    this.#environment = environment;
    this.#life = new Life(environment, journal, {
      begun: () => this.#activity.touch(),
      exited: (live, exit) =>
        this.#queue.run(() => onExit(this.#life, live, exit, () => this.#mayRestoreAgain())),
      loaded: (live, result) => this.#queue.run(() => this.#onLoaded(live, result)),
      retry: () => void this.#queue.run(() => this.#life.unfinished.attempt()),
    });
    this.metrics = new MetricsHistory(this.paths.metrics);
  }

  get id(): string {
    return this.journal.id;
  }

  get paths(): SandboxPaths {
    return this.#life.paths;
  }

  /** The durable state, as last written. */
  get journal(): Journal {
    return this.#life.journal;
  }

  get spec(): SandboxSpec {
    return this.journal.spec;
  }

  /** Unix milliseconds of the last use: now, while something is under way. */
  get lastActiveAtMs(): number {
    const { state, startedAtMs, createdAtMs } = this.journal;
    return takesCommands(state) ? this.#activity.lastWallMs : (startedAtMs ?? createdAtMs);
  }

  /** What decides when it times out. */
  get expiry(): ExpiryView {
    const { state, policy, stopCause } = this.journal;
    const { inUse, lastMonotonicMs: lastActiveMs } = this.#activity;
    const removing = state === 'stopping' && stopCause === 'timeout';
    return { state, policy, removing, inUse, lastActiveMs };
  }

  /** Process id of the VM while there is one. */
  get vmPid(): number | undefined {
    return this.#life.live?.vm.pid;
  }

  get isRunning(): boolean {
    return this.journal.state === 'running' && !this.#expiring;
  }

  /** It runs, and all of its memory is there. */
  get isSettled(): boolean {
    return this.isRunning && this.#life.isLoaded;
  }

  /** Whether it holds memory, or is about to. */
  get holdsMemory(): boolean {
    const { state } = this.journal;
    return state !== 'paused' && state !== 'stopped';
  }

  /** Brings a sandbox that has just been made to life. On failure nothing of it is left. */
  create(origin: Origin): Promise<void> {
    return this.#queue.run(async () => {
      try {
        await this.#life.record(this.journal);
        // No journal names it before the VM runs.
        using _pin = origin.kind === 'boot' ? undefined : this.#environment.store.pin(origin.id);
        const started = await firstVm(this.#environment, this.#life.making, origin);
        const memoryBase = started.loading === undefined || origin.kind === 'boot' ? undefined : origin.id;
        await this.#life.begin(started, memoryBase === undefined ? {} : { memoryBase });
      } catch (error) {
        // What cannot be removed now the next agent removes: the journal says `pending`, or there is none.
        await this.#removeEverything().catch((problem: unknown) => {
          this.#life.log.warn({ err: fromUnknown(problem) }, 'could not remove a sandbox that was not made');
        });
        throw error;
      }
    });
  }

  /** Freezes it and frees its process and memory. One that is paused already stays as it is. When it fails it runs on. */
  pause(options: { readonly kind?: Manifest['kind']; readonly resumeAtStart?: boolean } = {}): Promise<void> {
    const cause = options.resumeAtStart === true ? 'shutdown' : undefined;
    return this.#turn(() => fallAsleep(this.#life, options.kind ?? 'full', cause));
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
        else await fallAsleep(this.#life, 'full', 'timeout');
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
    return this.#turn(async () => {
      const { state, generation: present } = this.journal;
      if (state !== 'running') return await wakeUp(this.#life, generation, options);
      if (this.#life.live === undefined) throw this.#withoutVm();
      const { policy } = options;
      if (generation > present || policy !== undefined) {
        const newer = {
          generation: Math.max(generation, present),
          ...(policy === undefined ? {} : { policy }),
        };
        await this.#life.record(changed(this.journal, newer));
      }
      this.#activity.touch();
    });
  }

  /**
   * Keeps the present moment, and goes on as it was.
   *
   * @param use is given the generation, which nobody collects meanwhile
   * @throws DormouseError `invalid_state`, `no_space`, `pause_failed`
   */
  moment<T>(kind: Manifest['kind'], use: (manifest: Manifest) => Promise<T>): Promise<T> {
    return this.#turn(async () => {
      const manifest = await keepMoment(this.#life, kind);
      using _pin = this.#environment.store.pin(manifest.id);
      return await use(manifest);
    });
  }

  /** Puts another generation of the same content in place of the one it is paused in, when it still is. */
  replacePaused(before: string, after: string): Promise<void> {
    return this.#queue.run(async () => {
      const { state, paused } = this.journal;
      if (state !== 'paused' || paused?.generationId !== before) return;
      await this.#life.record({ ...this.journal, state, paused: { ...paused, generationId: after } });
    });
  }

  /** Puts another generation of the same content in place of the one its memory is compared with, when it still is. */
  replaceMemoryBase(before: string, after: string): Promise<void> {
    return this.#queue.run(async () => {
      const { journal } = this;
      // As long as memory is missing it comes from the one that is there.
      if (journal.state !== 'running' || journal.loading === true || journal.memoryBase !== before) return;
      await this.#life.record({ ...journal, memoryBase: after });
    });
  }

  /**
   * Finds the VM that a journal names, and repairs what a crash has interrupted. What fails for an error of this agent
   * is tried again until it succeeds. Answers whether it has succeeded at once.
   */
  reattach(): Promise<boolean> {
    return this.#queue.run(() =>
      this.#life.unfinished.insist('take over what an earlier agent has left', () => takeOver(this.#life)),
    );
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
    const result = await this.#life.live?.loading;
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
      await this.#life.record(changed(this.journal, { policy }));
    });
  }

  /** Tells what the host has done with it by itself. It is done all the same when that cannot be written down. */
  tell(kind: HostEventKind, reason: string): Promise<void> {
    return this.#life.tell(kind, reason);
  }

  /** The newest part of what the guest printed on its console. */
  readConsole(maxBytes: number): Promise<Buffer> {
    return readConsoleLog(this.paths.consoleLog, maxBytes);
  }

  /** Asks the guest to end by itself, ends it when it does not, and keeps its disk until the host is back. */
  shutDown(reason: string): Promise<void> {
    return this.#queue.run(async () => {
      if (this.journal.state !== 'running') return;
      await powerOff(this.#life.live, this.#life.log);
      await onVmEnded(this.#life, reason, 'shutdown');
    });
  }

  /**
   * Frees everything: process, RAM, layers, sockets, journal. Equal calls join; one that fails can be repeated. Needs
   * no room on the disk.
   */
  destroy(): Promise<void> {
    this.#life.abandon();
    this.#destroying ??= this.#queue
      .run(() => this.#removeEverything())
      .catch((error: unknown) => {
        this.#destroying = undefined;
        if (this.journal.state !== 'stopping') this.#life.keep();
        throw error;
      });
    return this.#destroying;
  }

  /** Lets go of the VM without ending it: for an agent that stops while its sandboxes run on. */
  async release(): Promise<void> {
    // What has begun is finished, or rolled back, before anybody lets go; but nobody waits for ever.
    await Promise.race([this.#queue.run(async () => {}), waitMs(RELEASE_PATIENCE_MS)]);
    // The next agent finishes what could not be finished here.
    this.#life.unfinished.clear();
    // A page server that is let go of looks like one that failed.
    const live = this.#life.letGo();
    await live?.session.close();
    live?.vm.detach();
  }

  /** Does something in the sandbox's turn, after what an earlier turn could not finish. */
  #turn<T>(work: () => Promise<T>): Promise<T> {
    return this.#queue.run(async () => {
      if (this.#life.unfinished.what !== undefined) await this.#life.unfinished.attempt();
      return await work();
    });
  }

  #mayRestoreAgain(): boolean {
    this.#brokenRestores += 1;
    return this.#brokenRestores < MAX_RESTORES;
  }

  async #onLoaded(live: LiveVm, result: Served | DormouseError): Promise<void> {
    const life = this.#life;
    if (result instanceof DormouseError) {
      return await onLoadFailure(life, live, result, () => this.#mayRestoreAgain());
    }
    this.#brokenRestores = 0;
    const { journal } = life;
    if (life.live !== live || journal.state !== 'running' || journal.loading === undefined) return;
    await life.settle(loaded(journal));
  }

  /** Frees everything, because its time has passed. The journal says so first: a crash does not leave half of it. */
  async #kill(): Promise<void> {
    const { journal } = this;
    if (journal.stopCause !== 'timeout') await this.#life.settle(stopping(journal, 'timeout'));
    this.#life.abandon();
    await this.#removeEverything();
    this.#destroying = Promise.resolve();
  }

  /**
   * The rename of its directory is what removes a sandbox: it needs no room, and from then on no agent knows it. What
   * it has held is freed after that, by this agent or by the next one.
   */
  async #removeEverything(): Promise<void> {
    const { stopCause, generation, policy, disk } = this.journal;
    if (stopCause === 'timeout')
      await this.#life.tell('killed', timedOut(policy), `${this.id} killed ${generation}`);
    const doomed = join(sandboxesDir(this.#environment.config), `${DELETING_PREFIX}${this.id}`);
    await rename(this.paths.dir, doomed).catch((error: unknown) => {
      // It was removed before, or never written down.
      if (systemErrorCode(error) !== 'ENOENT') throw error;
    });
    this.#life.forgetJournal(stopping(this.journal));
    await everyStep(
      () => this.#life.endVm(new DormouseError('not_found', 'the sandbox was deleted')),
      () => (disk === undefined ? undefined : this.#environment.layers.discard(disk)),
      () => rm(doomed, { recursive: true, force: true }),
    );
  }

  /** Why a sandbox that runs by its journal has no VM here: something has to be finished first. */
  #withoutVm(): DormouseError {
    const what = this.#life.unfinished.what ?? 'find its VM';
    return new DormouseError('unavailable', `the host agent could not ${what} yet`, {
      suggestion: 'The host agent tries again by itself. Its log names the cause.',
    });
  }

  /** The VM of a sandbox that may be used. @throws DormouseError `invalid_state`, `unavailable` */
  #usable(): LiveVm {
    const { state, reason } = this.journal;
    if (this.#expiring)
      throw new DormouseError('invalid_state', 'the sandbox is being paused or ended: its time has passed');
    const { live } = this.#life;
    if (takesCommands(state) && live !== undefined) return live;
    if (takesCommands(state)) throw this.#withoutVm();
    const why = reason === undefined ? '' : `: ${reason}`;
    throw new DormouseError('invalid_state', `the sandbox is ${state}${why}`);
  }
}

function waitMs(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
