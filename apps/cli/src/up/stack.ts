import { existsSync, mkdirSync } from 'node:fs';
import { DormouseError } from '@dormouse/errors';
import { Client } from '@dormouse/sdk';
import { ENTRY_POINTS } from '../checkout.js';
import { readApiKey } from '../credentials.js';
import { type DataPaths, dataPaths } from '../data-directory.js';
import { inStep, type Steps } from '../terminal/steps.js';
import { DirectoryLock } from './directory-lock.js';
import { followLog, logPath } from './logs.js';
import { outwaitOrphans } from './orphans.js';
import { checkPort } from './ports.js';
import { checkDataPath, checkRoot, checkSharedMemory, checkTools, shmDirectory } from './preflight.js';
import { prepareAssets, requireEntryPoint } from './prepare-assets.js';
import { identify } from './process-table.js';
import { Service } from './service.js';
import { controlPlaneService, databaseService, hostAgentService, type Wiring } from './services.js';
import { readUpState, removeUpState, writeUpState } from './up-state.js';

export interface StackOptions {
  /** Absolute path of the data directory. */
  readonly data: string;
  readonly host: string;
  /** 0: any free one. */
  readonly apiPort: number;
  /** Kept free for the edge. 0: none in particular. */
  readonly edgePort: number;
  /** Called with each line of the services' logs. */
  readonly onLog?: ((name: string, line: string) => void) | undefined;
}

/** How long counting the running sandboxes may hold up a shutdown. */
const COUNT_TIMEOUT_MS = 3_000;

/**
 * Everything `up` starts on one machine, in order: assets, database, host agent, control plane. Whatever fails on
 * the way undoes what was done before.
 */
export class Stack implements AsyncDisposable {
  readonly paths: DataPaths;
  readonly #options: StackOptions;
  readonly #steps: Steps;
  readonly #wiring: Wiring;
  readonly #services: Service[] = [];
  readonly #followers: (() => void)[] = [];
  #lock: DirectoryLock | undefined;
  #apiUrl: string | undefined;
  #accelerator: string | undefined;
  #hurried = false;

  private constructor(options: StackOptions, steps: Steps) {
    this.#options = options;
    this.#steps = steps;
    this.paths = dataPaths(options.data);
    this.#wiring = { databaseUrl: process.env.DATABASE_URL, host: options.host, apiPort: options.apiPort };
  }

  /**
   * @throws DormouseError one line about what is in the way; nothing is left behind
   */
  static async start(options: StackOptions, steps: Steps, signal: AbortSignal): Promise<Stack> {
    checkRoot();
    checkDataPath(options.data);
    checkTools();
    checkSharedMemory(shmDirectory());
    const stack = new Stack(options, steps);
    try {
      await stack.#claimDirectory(signal);
      await stack.#startAll(signal);
      return stack;
    } catch (thrown) {
      await stack[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  get apiUrl(): string {
    return this.#apiUrl ?? '';
  }

  /** `kvm` or `tcg`, if the host agent said so. */
  get accelerator(): string | undefined {
    return this.#accelerator;
  }

  /** @throws DormouseError when the control plane left no credentials */
  apiKey(): string {
    const key = readApiKey(this.paths.credentials);
    if (key === undefined) throw new DormouseError('setup_failed', `${this.paths.credentials} is missing`);
    return key;
  }

  /** How many sandboxes run, or undefined when nobody answers in time. */
  async countRunning(): Promise<number | undefined> {
    try {
      const client = new Client({ apiUrl: this.apiUrl, apiKey: this.apiKey(), timeoutMs: COUNT_TIMEOUT_MS });
      const signal = AbortSignal.timeout(COUNT_TIMEOUT_MS);
      let count = 0;
      for await (const _ of client.sandboxes.list({ state: 'running', signal })) count++;
      return count;
    } catch {
      return undefined;
    }
  }

  /** Shortens every wait of the shutdown under way. */
  hurry(): void {
    this.#hurried = true;
    for (const service of this.#services) service.hurry();
  }

  /** Ends everything in the reverse order of its start, and gives the data directory back. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const service of this.#services.toReversed()) {
      if (service.pid === undefined) {
        await service.stop();
        continue;
      }
      await inStep(this.#steps, `Stop the ${service.name.replace('-', ' ')}`, async () => {
        const stopped = service.stop();
        if (this.#hurried) service.hurry();
        await stopped;
      });
    }
    for (const stop of this.#followers) stop();
    if (!this.#lock) return;
    removeUpState(this.paths.upState);
    await this.#lock[Symbol.asyncDispose]();
  }

  /**
   * Locks the data directory and makes sure of the ports. A directory that is not there yet is made last, so that
   * a taken port leaves nothing behind.
   */
  async #claimDirectory(signal: AbortSignal): Promise<void> {
    const { data, host, apiPort, edgePort } = this.#options;
    if (apiPort !== 0 && apiPort === edgePort) {
      throw new DormouseError('invalid_request', `--api-port and --edge-port are both ${apiPort}`);
    }
    const checkPorts = async (): Promise<void> => {
      await checkPort(host, apiPort, '--api-port');
      await checkPort(host, edgePort, '--edge-port');
    };
    if (!existsSync(data)) {
      await checkPorts();
      makeDataDirectory(data);
      this.#lock = await this.#takeLock();
    } else {
      this.#lock = await this.#takeLock();
      await outwaitOrphans(readUpState(this.paths.upState), this.#steps, signal);
      await checkPorts();
    }
  }

  async #takeLock(): Promise<DirectoryLock> {
    const lock = await DirectoryLock.take(this.paths.root);
    if (lock) return lock;
    const holder = readUpState(this.paths.upState);
    const details = holder ? ` (pid ${holder.pid}${holder.apiUrl ? `, ${holder.apiUrl}` : ''})` : '';
    throw new DormouseError('already_running', `dormouse is already up on ${this.paths.root}${details}`, {
      suggestion: 'Use it as it is, end it first, or choose another directory with --data.',
    });
  }

  async #startAll(signal: AbortSignal): Promise<void> {
    for (const path of Object.values(ENTRY_POINTS)) requireEntryPoint(path);
    const { paths } = this;
    const onProcess = (name: string, pid: number): void => this.#saveState([{ name, pid }]);
    await prepareAssets(
      { assets: paths.assets, template: 'base', logs: paths.logs, onProcess },
      this.#steps,
      signal,
    );
    if (this.#wiring.databaseUrl === undefined) await this.#startDatabase(signal);
    await this.#startHostAgent(signal);
    await this.#startControlPlane(signal);
  }

  async #startDatabase(signal: AbortSignal): Promise<void> {
    const service = this.#add(databaseService(this.paths), (line) => {
      const changed = this.#wiring.databaseUrl !== undefined && this.#wiring.databaseUrl !== line.databaseUrl;
      this.#wiring.databaseUrl = String(line.databaseUrl);
      // It may come back on another port; who was given the old URL must be told the new one.
      if (changed) this.#services.find(({ name }) => name === 'control-plane')?.restart();
    });
    await inStep(this.#steps, 'Start the database', () => service.start(signal));
  }

  async #startHostAgent(signal: AbortSignal): Promise<void> {
    const service = this.#add(hostAgentService(this.paths), ({ accelerator }) => {
      if (typeof accelerator === 'string') this.#accelerator = accelerator;
    });
    await inStep(this.#steps, 'Start the host agent', () => service.start(signal));
  }

  async #startControlPlane(signal: AbortSignal): Promise<void> {
    const service = this.#add(controlPlaneService(this.paths, this.#wiring), (line) => {
      this.#apiUrl = String(line.apiUrl);
      // A port that was chosen freely is kept from now on: clients know it.
      this.#wiring.apiPort = Number(new URL(this.#apiUrl).port) || this.#wiring.apiPort;
      this.#saveState();
    });
    await inStep(this.#steps, 'Start the control plane', () => service.start(signal));
  }

  #add(
    spec: ConstructorParameters<typeof Service>[0],
    onReady: (line: Readonly<Record<string, unknown>>) => void,
  ): Service {
    const { onLog } = this.#options;
    if (onLog)
      this.#followers.push(followLog(logPath(this.paths.logs, spec.name), (line) => onLog(spec.name, line)));
    const service = new Service(spec, this.paths.logs, {
      onNote: (text) => this.#steps.note(text),
      onReady,
      onProcess: () => this.#saveState(),
    });
    this.#services.push(service);
    return service;
  }

  #saveState(others: readonly { readonly name: string; readonly pid: number }[] = []): void {
    const processes = [...this.#services, ...others].flatMap(({ name, pid }) => {
      const identity = pid === undefined ? undefined : identify(pid);
      return identity ? [{ name, ...identity }] : [];
    });
    writeUpState(this.paths.upState, { pid: process.pid, apiUrl: this.#apiUrl ?? null, processes });
  }
}

function makeDataDirectory(path: string): void {
  try {
    // Others need to pass through: the database and the virtual machines run under users of their own.
    mkdirSync(path, { recursive: true, mode: 0o755 });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DormouseError('setup_failed', `cannot make the data directory: ${reason}`, { cause });
  }
}
