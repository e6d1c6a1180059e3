import { DormouseError, fromUnknown } from '@dormouse/errors';
import { assertMove } from '@dormouse/lifecycle';
import type { Served } from '@dormouse/page-server';
import type { MicroVm, VmExit } from '@dormouse/vmm';
import { everyStep } from '../concurrency/every-step.js';
import { type SandboxPaths, sandboxPaths } from '../config/host-config.js';
import { logOf, type SandboxLog } from '../config/sandbox-log.js';
import type { SandboxEnvironment } from '../environment.js';
import type { HostEventKind } from '../records/host-events.js';
import { type Journal, type RunningJournal, started, withoutPlace } from '../records/journal.js';
import { writeJournal } from '../records/journal-file.js';
import type { Making } from '../transitions/first-vm.js';
import { GuestSession } from '../vm/guest-session.js';
import type { LiveVm, StartedVm } from '../vm/live-vm.js';
import type { VmSlotRecord } from '../vm/vm-slots.js';
import { Unfinished } from './unfinished.js';

/** What a sandbox does about what happens to its VM, or is still to be done. */
export interface LifeHooks {
  readonly begun: () => void;
  readonly exited: (live: LiveVm, exit: VmExit) => Promise<void>;
  /** All of its memory is there, or will never be. */
  readonly loaded: (live: LiveVm, result: Served | DormouseError) => Promise<void>;
  /** Something unfinished is to be tried again: take a turn and call `unfinished.attempt`. */
  readonly retry: () => void;
}

const WRITE_JOURNAL = 'write the journal';

/**
 * A sandbox's journal and its VM. Everything that changes them runs in the sandbox's turn.
 *
 * A journal is written in one of two ways. `record` writes it before the state is believed: what throws has changed
 * nothing. `settle` is for a state that follows from what has happened already and that the next agent would come to as
 * well from the journal as it was written last: it is believed at once, and written until that succeeds.
 */
export class Life {
  readonly environment: SandboxEnvironment;
  readonly log: SandboxLog;
  readonly paths: SandboxPaths;
  readonly unfinished: Unfinished;
  readonly #hooks: LifeHooks;
  #abandoned = new AbortController();
  #journal: Journal;
  #live: LiveVm | undefined;
  #isLoaded = false;

  constructor(environment: SandboxEnvironment, journal: Journal, hooks: LifeHooks) {
    this.environment = environment;
    this.log = logOf(environment.log, journal.id);
    this.paths = sandboxPaths(environment.config, journal.id);
    this.unfinished = new Unfinished(this.log, hooks.retry, environment.retryPauseMs);
    this.#journal = journal;
    this.#hooks = hooks;
  }

  /** As believed. */
  get journal(): Journal {
    return this.#journal;
  }

  get live(): LiveVm | undefined {
    return this.#live;
  }

  /** There is a VM, and all of its memory. */
  get isLoaded(): boolean {
    return this.#live !== undefined && this.#isLoaded;
  }

  get failsOnMemoryLoss(): boolean {
    return this.#journal.policy.onMemoryLoss === 'fail';
  }

  /** A removal has failed before it removed anything: the sandbox goes on. */
  keep(): void {
    this.#abandoned = new AbortController();
  }

  /** Aborted when the sandbox is being removed. */
  get abandoned(): AbortSignal {
    return this.#abandoned.signal;
  }

  /** What making a VM of this sandbox takes. */
  get making(): Making {
    const { log, paths } = this;
    return { spec: this.#journal.spec, consoleLogPath: paths.consoleLog, log, signal: this.abandoned };
  }

  /** The sandbox is being removed: a pause, checkpoint or resume in progress gives up. */
  abandon(): void {
    this.#abandoned.abort();
  }

  /**
   * Writes a journal, then believes it.
   *
   * @throws DormouseError `invalid_state` for a state that does not follow; what writing throws: the sandbox is as it was
   */
  async record(next: Journal): Promise<void> {
    if (next.state !== this.#journal.state) assertMove(this.#journal.state, next.state);
    try {
      await this.#write(next);
    } catch (error) {
      // A write that fails at its very end may have replaced the journal: the one that holds is written again.
      await this.unfinished.insist(WRITE_JOURNAL, () => this.#write(this.#journal));
      throw error;
    }
    this.#journal = next;
  }

  /** Believes a journal, and writes it until that succeeds. Rejects only for a state that does not follow. */
  async settle(next: Journal): Promise<void> {
    if (next.state !== this.#journal.state) assertMove(this.#journal.state, next.state);
    this.#journal = next;
    await this.unfinished.insist(WRITE_JOURNAL, () => this.#write(this.#journal));
  }

  /** The sandbox is on its way out and has no journal any more. */
  forgetJournal(last: Journal): void {
    this.unfinished.clear();
    this.#journal = last;
  }

  /** Emits what the host has done with it by itself. It is done all the same when that cannot be written down. */
  async tell(kind: HostEventKind, reason: string, key?: string): Promise<void> {
    const { id, generation } = this.#journal;
    try {
      await this.environment.events.append({ kind, sandboxId: id, generation, reason, key });
    } catch (error) {
      this.log.warn({ kind, err: fromUnknown(error) }, 'an event was not written down');
    }
  }

  /** Records that a VM lives, and makes it the sandbox's. Ends it when that cannot be recorded. */
  async begin(
    vmStarted: StartedVm,
    origin: Pick<RunningJournal, 'memoryBase' | 'resumedBy' | 'reason'>,
  ): Promise<void> {
    const { slot, vm, link, disk, loading } = vmStarted;
    const { pid, startTicks } = vm;
    const { slots, layers } = this.environment;
    try {
      // A journal names a layer only once a power cut cannot take it away.
      await layers.sync(disk);
      const live = { vm: { ...slot.record, pid, startTicks }, disk, ...origin };
      const isLoading = loading === undefined ? undefined : true;
      await this.record(started(this.#journal, { ...live, loading: isLoading }, Date.now()));
    } catch (error) {
      await everyStep(
        () => link.drop(fromUnknown(error)),
        () => vm.kill(),
        () => loading,
        () => slots.release(slot),
        () => layers.removeTop(disk),
      ).catch((problem: unknown) => this.#problem('free a VM that could not be recorded', problem));
      throw error;
    }
    this.adopt({ slot, vm, session: this.session(vm, link), loading });
    this.log.info({ pid }, 'sandbox is running');
  }

  /** Makes a VM that the journal names the sandbox's. */
  adopt(live: LiveVm): void {
    this.#live = live;
    this.#isLoaded = live.loading === undefined;
    this.#hooks.begun();
    const onFailed = (error: unknown): void => this.#problem('handle what became of the VM', error);
    live.vm.exited.then((exit) => this.#hooks.exited(live, exit)).catch(onFailed);
    live.loading
      ?.then((result) => {
        if (this.#live === live) this.#isLoaded = !(result instanceof DormouseError);
        return this.#hooks.loaded(live, result);
      })
      .catch(onFailed);
  }

  session(vm: MicroVm, link: StartedVm['link'] | undefined): GuestSession {
    return new GuestSession(vm, link, (error) => {
      this.log.warn({ code: error.code, detail: error.message }, 'the link to the guest was lost');
    });
  }

  /** Lets go of the VM: from here what becomes of it is no longer the sandbox's. */
  letGo(): LiveVm | undefined {
    const live = this.#live;
    this.#live = undefined;
    return live;
  }

  /**
   * Ends the VM and gives its place up, also one that only the journal knows, or knew. Every part of it is tried,
   * whatever becomes of the others; can be repeated.
   */
  async endVm(reason: DormouseError, place: VmSlotRecord | undefined = this.#journal.vm): Promise<void> {
    const live = this.letGo();
    const { slots } = this.environment;
    const slot = live?.slot ?? (place === undefined ? undefined : await slots.adopt(place));
    await everyStep(
      () => live?.session.drop(reason),
      () => live?.vm.kill(),
      // What its restore still writes down is a part of it.
      () => live?.loading,
      () => (slot === undefined ? undefined : slots.release(slot)),
    );
    // Given up once: the same place must not be given up again when another VM has it.
    this.#journal = withoutPlace(this.#journal);
  }

  async #write(journal: Journal): Promise<void> {
    const { layers } = this.environment;
    if (journal.disk !== undefined) await layers.sync(journal.disk);
    await writeJournal(this.paths.journal, journal);
    this.unfinished.drop(WRITE_JOURNAL);
    if (journal.disk !== undefined) layers.recorded(journal.disk);
  }

  #problem(doing: string, error: unknown): void {
    this.log.warn({ err: fromUnknown(error) }, `could not ${doing}`);
  }
}
