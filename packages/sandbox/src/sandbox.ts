import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import { Guest, type GuestLink } from '@dormouse/guest-link';
import { assertMove, isFinal, takesCommands } from '@dormouse/lifecycle';
import { createLayer, imagePath } from '@dormouse/rootfs';
import { type MicroVm, readConsoleLog, type VmExit, type VmUser } from '@dormouse/vmm';
import { type BootEnvironment, bootGuest, configureGuest } from './boot.js';
import { GuestSession } from './guest-session.js';
import { type HostConfig, type SandboxPaths, sandboxesDir, sandboxPaths } from './host-config.js';
import { type Journal, writeJournal } from './journal.js';
import { endProcessesOf } from './leftovers.js';
import type { SandboxSpec } from './sandbox-spec.js';
import { SerialQueue } from './serial-queue.js';
import { vmUser } from './vm-users.js';

/** Directories with this prefix are on their way out; what a crash leaves of them is removed at the next start. */
export const DELETING_PREFIX = '.deleting-';

const SHUTDOWN_GRACE_MS = 3_000;
const SHUTDOWN_TIMEOUT_MS = 15_000;

/** What a sandbox needs from its host. */
export interface SandboxEnvironment extends Omit<BootEnvironment, 'onFailedAttempt'> {
  readonly config: HostConfig;
  readonly log: SandboxLog;
}

/** Where a sandbox reports what operators want to know. */
export interface SandboxLog {
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
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
  #vm: MicroVm | undefined;
  #session: GuestSession | undefined;
  #destroying: Promise<void> | undefined;
  #lastActiveAtMs: number;

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
    return this.#vm?.pid;
  }

  /** Boots a sandbox that has just been made. On failure nothing of it is left. */
  create(): Promise<void> {
    return this.#queue.run(async () => {
      try {
        await this.#boot();
      } catch (error) {
        await this.#removeEverything();
        throw error;
      }
    });
  }

  /** Finds the VM of a journal that says `running`; what has ended meanwhile becomes `stopped`. */
  reattach(): Promise<void> {
    return this.#queue.run(async () => {
      const { vm: recorded } = this.#journal;
      const { runDir, dir: logDir, consoleLog: consoleLogPath } = this.paths;
      const identity = recorded && { ...recorded, runDir, logDir, consoleLogPath };
      try {
        const vm = identity && (await this.#environment.driver.attach(identity));
        if (vm !== undefined) return this.#adopt(vm, undefined);
        await this.#becomeStopped('its VM ended while the host agent was away');
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
    if (!takesCommands(state) || this.#session === undefined) {
      const why = reason === undefined ? '' : `: ${reason}`;
      throw new DormouseError('invalid_state', `the sandbox is ${state}${why}`);
    }
    this.touch();
    return await this.#session.guest();
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

  /** Frees everything: process, RAM, layer, sockets, journal. Equal calls join. */
  destroy(): Promise<void> {
    this.#abort.abort();
    this.#destroying ??= this.#queue.run(() => this.#removeEverything());
    return this.#destroying;
  }

  /** Lets go of the VM without ending it: for an agent that stops while its sandboxes run on. */
  async release(): Promise<void> {
    await this.#session?.close();
    this.#vm?.detach();
  }

  async #boot(): Promise<void> {
    const { paths, spec } = this;
    const { config, log } = this.#environment;
    const user = await this.#user();
    await mkdir(paths.dir, { recursive: true, mode: 0o711 });
    await this.#record({});
    await createLayer(paths.layer, imagePath(config.assetsDir, spec.imageId), user);
    const startedAt = performance.now();
    const { vm, link } = await bootGuest(
      {
        ...this.#environment,
        onFailedAttempt: (error) =>
          log.warn({ sandboxId: this.id, err: error }, 'the guest did not come up; again'),
      },
      {
        paths,
        spec,
        user,
        onStarted: (started) => this.#record({ vm: { pid: started.pid, startTicks: started.startTicks } }),
      },
      this.#abort.signal,
    );
    try {
      await configureGuest(new Guest(link), spec);
      await this.#record({ state: 'running', startedAtMs: Date.now() });
    } catch (error) {
      await vm.kill();
      throw error;
    }
    this.#adopt(vm, link);
    log.info({ sandboxId: this.id, bootMs: Math.round(performance.now() - startedAt) }, 'sandbox is running');
  }

  #adopt(vm: MicroVm, link: GuestLink | undefined): void {
    const { log } = this.#environment;
    this.#vm = vm;
    this.touch();
    this.#session = new GuestSession(vm, link, (error) => {
      log.warn(
        { sandboxId: this.id, code: error.code, detail: error.message },
        'the link to the guest was lost',
      );
    });
    void vm.exited.then((exit) => this.#queue.run(() => this.#onExit(vm, exit))).catch(() => {});
  }

  async #onExit(vm: MicroVm, exit: VmExit): Promise<void> {
    if (this.#vm !== vm || this.#journal.state !== 'running') return;
    await this.#becomeStopped(exitReason(exit));
    this.#environment.log.warn({ sandboxId: this.id, ...exit }, 'the VM ended by itself');
  }

  async #askToPowerOff(): Promise<void> {
    const vm = this.#vm;
    if (vm === undefined || this.#session === undefined) return;
    const patience = AbortSignal.timeout(SHUTDOWN_TIMEOUT_MS);
    try {
      const guest = await this.#session.guest();
      await guest.shutdown('powerOff', { graceMs: SHUTDOWN_GRACE_MS, signal: patience });
      await Promise.race([vm.exited, new Promise((resolve) => patience.addEventListener('abort', resolve))]);
    } catch (error) {
      this.#environment.log.warn(
        { sandboxId: this.id, err: fromUnknown(error) },
        'the guest did not shut down',
      );
    }
  }

  async #becomeStopped(reason: string): Promise<void> {
    await this.#endVm();
    await rm(this.paths.memory, { force: true });
    await this.#record({ state: 'stopped', reason, vm: undefined });
  }

  async #removeEverything(): Promise<void> {
    const { paths } = this;
    const present = await readdir(paths.dir).catch(() => undefined);
    if (present !== undefined && !isFinal(this.#journal.state)) await this.#record({ state: 'stopping' });
    await this.#endVm();
    await rm(paths.memory, { force: true });
    if (present === undefined) return;
    const doomed = join(sandboxesDir(this.#environment.config), `${DELETING_PREFIX}${this.id}`);
    await rename(paths.dir, doomed);
    await rm(doomed, { recursive: true, force: true });
  }

  async #endVm(): Promise<void> {
    const vm = this.#vm;
    this.#vm = undefined;
    await this.#session?.close();
    this.#session = undefined;
    await vm?.kill();
    await endProcessesOf(this.paths.runDir);
  }

  async #user(): Promise<VmUser | undefined> {
    return this.#journal.uid === undefined ? undefined : await vmUser(this.#journal.uid);
  }

  async #record(change: Partial<Journal>): Promise<void> {
    const next: Journal = { ...this.#journal, ...change };
    if (next.state !== this.#journal.state) assertMove(this.#journal.state, next.state);
    await writeJournal(this.paths.journal, next);
    this.#journal = next;
  }
}

function exitReason(exit: VmExit): string {
  if (exit.exitCode === 0) return 'the guest powered off or restarted';
  const how = exit.signal === undefined ? `exit code ${exit.exitCode ?? 'unknown'}` : exit.signal;
  return `its VM ended by itself (${how})`;
}
