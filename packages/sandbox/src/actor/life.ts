import { DormouseError, fromUnknown } from '@dormouse/errors';
import { assertMove } from '@dormouse/lifecycle';
import type { Served } from '@dormouse/page-server';
import type { MicroVm, VmExit } from '@dormouse/vmm';
import { type SandboxPaths, sandboxPaths } from '../config/host-config.js';
import { logOf, type SandboxLog } from '../config/sandbox-log.js';
import type { SandboxEnvironment } from '../environment.js';
import type { HostEventKind } from '../records/host-events.js';
import { type Journal, writeJournal } from '../records/journal.js';
import type { Making } from '../transitions/first-vm.js';
import { GuestSession } from '../vm/guest-session.js';
import type { LiveVm, StartedVm } from '../vm/live-vm.js';
import type { VmSlotRecord } from '../vm/vm-slots.js';

/** What becomes of a VM by itself; told at any moment, also when it is not the sandbox's any more. */
export interface VmHooks {
  readonly begun: () => void;
  readonly exited: (live: LiveVm, exit: VmExit) => Promise<void>;
  /** All of its memory is there, or will never be. */
  readonly loaded: (live: LiveVm, result: Served | DormouseError) => Promise<void>;
}

/** What the journal of a sandbox without a VM does not say. */
export const NO_VM = {
  vm: undefined,
  disk: undefined,
  memoryBase: undefined,
  loading: undefined,
  intent: undefined,
  intentCause: undefined,
} as const;

/**
 * What there is of a sandbox: what is written down about it, and its VM. Whoever changes it has the sandbox's turn. The
 * journal is written before the state is believed.
 */
export class Life {
  readonly environment: SandboxEnvironment;
  readonly log: SandboxLog;
  readonly paths: SandboxPaths;
  readonly #hooks: VmHooks;
  readonly #abandoned = new AbortController();
  #journal: Journal;
  #live: LiveVm | undefined;
  #isLoaded = false;

  constructor(environment: SandboxEnvironment, journal: Journal, hooks: VmHooks) {
    this.environment = environment;
    this.log = logOf(environment.log, journal.id);
    this.paths = sandboxPaths(environment.config, journal.id);
    this.#journal = journal;
    this.#hooks = hooks;
  }

  /** As last written. */
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

  /** What making a VM of this sandbox takes. */
  get making(): Making {
    const { log, paths } = this;
    const signal = this.#abandoned.signal;
    return { spec: this.#journal.spec, consoleLogPath: paths.consoleLog, log, signal };
  }

  /** Nobody wants it any more: what is being made of it is given up. */
  abandon(): void {
    this.#abandoned.abort();
  }

  /** @throws DormouseError `invalid_state` for a state that does not follow */
  async record(change: Partial<Journal>): Promise<void> {
    const next: Journal = { ...this.#journal, ...change };
    if (next.state !== this.#journal.state) assertMove(this.#journal.state, next.state);
    await writeJournal(this.paths.journal, next);
    this.#journal = next;
    if (change.disk !== undefined) this.environment.layers.recorded(change.disk);
  }

  /** Tells what the host has done with it by itself. It is done all the same when that cannot be written down. */
  async tell(kind: HostEventKind, reason: string, key?: string): Promise<void> {
    const { id, generation } = this.#journal;
    try {
      await this.environment.events.append({ kind, sandboxId: id, generation, reason, key });
    } catch (error) {
      this.log.warn({ kind, err: fromUnknown(error) }, 'an event was not written down');
    }
  }

  /** Records that a VM lives, and makes it the sandbox's. Ends it when that cannot be recorded. */
  async begin(started: StartedVm, change: Partial<Journal>): Promise<void> {
    const { slot, vm, link, disk, loading } = started;
    const { pid, startTicks } = vm;
    try {
      await this.record({
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
      await this.environment.slots.release(slot);
      await this.environment.layers.remove(disk.layers);
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
    const onFailed = (error: unknown): void =>
      this.log.warn({ err: fromUnknown(error) }, 'what became of the VM was not dealt with');
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

  /** Ends the VM and gives its place up, also one that only the journal knows, or knew. */
  async endVm(reason: DormouseError, place: VmSlotRecord | undefined = this.#journal.vm): Promise<void> {
    const live = this.letGo();
    live?.session.drop(reason);
    await live?.vm.kill();
    // What its restore still writes down is a part of it.
    await live?.loading;
    const { slots } = this.environment;
    const slot = live?.slot ?? (place === undefined ? undefined : await slots.adopt(place));
    if (slot === undefined) return;
    await slots.release(slot);
    // Given up once: whoever comes here again must not free the user of another VM.
    this.#journal = { ...this.#journal, vm: undefined };
  }

  async dropDisk(): Promise<void> {
    await this.environment.layers.remove(this.#journal.disk?.layers ?? []);
  }
}
