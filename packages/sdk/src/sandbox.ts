import {
  type ExecClientMessage,
  Logs,
  Metrics,
  ExecResult as WireExecResult,
  type MetricsPoint as WireMetricsPoint,
} from '@dormouse/contracts';
import type { DormouseError } from '@dormouse/errors';
import { type CamelKeys, toCamelKeys } from './case.js';
import { type CallOptions, type ClientOptions, resolveOptions } from './client-options.js';
import {
  type Command,
  type ExecOptions,
  execCallOptions,
  execRequest,
  type SpawnOptions,
  startMessage,
} from './command.js';
import { type FollowOptions, followEvents, listEvents, type SandboxEvent } from './events.js';
import { Files } from './files.js';
import { openSocket } from './open-socket.js';
import { Processes } from './processes.js';
import { SandboxProcess } from './sandbox-process.js';
import {
  type CreateOptions,
  createSandbox,
  deleteSandbox,
  type ForkOptions,
  fetchSandbox,
  forkSandbox,
  type ListSandboxesOptions,
  listSandboxes,
  type PauseOptions,
  pauseSandbox,
  pingSandbox,
  type ResumeOptions,
  resumeSandbox,
  type SandboxInfo,
  sandboxPath,
} from './sandbox-requests.js';
import { createSnapshot, type SnapshotInfo, type SnapshotOptions } from './snapshots.js';
import { Transport } from './transport.js';

/** One measurement. */
export type MetricsPoint = CamelKeys<WireMetricsPoint>;

/** How a command ended and what it wrote. */
export interface ExecResult<Output = string> {
  readonly stdout: Output;
  readonly stderr: Output;
  /** 128 + signal number when a signal ended it. */
  readonly exitCode: number;
  readonly signal: string | null;
  readonly durationMs: number;
  /** An output was longer than the server keeps; use `spawn` for that. */
  readonly truncated: boolean;
}

export interface AttachOptions {
  readonly signal?: AbortSignal | undefined;
  /** false: only what is written from now on. */
  readonly backlog?: boolean | undefined;
}

/** A child of a fork that runs, or why there is none. */
export type ForkResult =
  | { readonly sandbox: Sandbox; readonly error?: undefined }
  | { readonly sandbox?: undefined; readonly error: DormouseError };

/** A microVM that runs commands. */
export class Sandbox implements AsyncDisposable {
  readonly id: string;
  readonly files: Files;
  readonly processes: Processes;
  readonly #transport: Transport;
  readonly #base: string;
  #info: SandboxInfo;
  #owned: boolean;

  /** @param owned whether leaving an `await using` scope deletes it */
  constructor(transport: Transport, info: SandboxInfo, owned: boolean) {
    this.#transport = transport;
    this.#info = info;
    this.#owned = owned;
    this.id = info.id;
    this.#base = sandboxPath(info.id);
    this.files = new Files(transport, this.#base);
    this.processes = new Processes(transport, this.#base);
  }

  /**
   * Makes a sandbox, of a template or where a snapshot was taken, and waits until it runs. `await using sandbox = await Sandbox.create()` deletes it at the end
   * of the scope; `keep()` changes that.
   */
  static async create(options: CreateOptions & ClientOptions & CallOptions = {}): Promise<Sandbox> {
    const { apiUrl, apiKey, token, fetch, signal, timeoutMs, ...create } = options;
    const transport = connect({ apiUrl, apiKey, token, fetch });
    return new Sandbox(transport, await createSandbox(transport, create, { signal, timeoutMs }), true);
  }

  /** A sandbox that exists. Leaving an `await using` scope does not delete it. */
  static async connect(id: string, options: ClientOptions & CallOptions = {}): Promise<Sandbox> {
    const transport = connect(options);
    return new Sandbox(transport, await fetchSandbox(transport, id, { signal: options.signal }), false);
  }

  /** The sandboxes there are, page by page. */
  static list(
    options: ListSandboxesOptions & ClientOptions = {},
  ): AsyncGenerator<SandboxInfo, void, undefined> {
    const { state, metadata, signal } = options;
    return listSandboxes(connect(options), { state, metadata, signal });
  }

  /** What was last heard of it; `refresh()` asks. */
  get info(): SandboxInfo {
    return this.#info;
  }

  async refresh(options: CallOptions = {}): Promise<SandboxInfo> {
    this.#info = await fetchSandbox(this.#transport, this.id, options);
    return this.#info;
  }

  /** Runs a command to its end. A command that fails is a result, not an error. */
  async exec(command: string | Command, options: ExecOptions = {}): Promise<ExecResult> {
    const result = await this.#exec(command, options);
    const decode = (text: string): string =>
      result.encoding === 'base64' ? Buffer.from(text, 'base64').toString() : text;
    return outcome(result, decode);
  }

  /** Like `exec`, for output that is not text. */
  async execBytes(command: string | Command, options: ExecOptions = {}): Promise<ExecResult<Uint8Array>> {
    const result = await this.#exec(command, options);
    return outcome(result, (text) => Buffer.from(text, result.encoding === 'base64' ? 'base64' : 'utf8'));
  }

  /** Starts a process and follows it: output as it comes, input, signals, terminal. */
  spawn(command: string | Command, options: SpawnOptions = {}): Promise<SandboxProcess> {
    return this.#follow(startMessage(command, options), options.signal);
  }

  /** Follows a process that is already running, by default first with what is still held of its output. */
  attach(pid: number, options: AttachOptions = {}): Promise<SandboxProcess> {
    return this.#follow({ type: 'attach', pid, backlog: options.backlog ?? true }, options.signal);
  }

  /**
   * What it was doing while it ran, oldest first: every 10 s of the last hour, every 5 min of the last day that it ran,
   * and the present moment when it runs. Paused, what was until then.
   */
  async metrics(
    options: CallOptions & { readonly start?: Date; readonly end?: Date } = {},
  ): Promise<readonly MetricsPoint[]> {
    const { start, end, ...call } = options;
    const query = { start: start?.toISOString(), end: end?.toISOString() };
    const request = { ...call, method: 'GET', path: `${this.#base}/metrics`, query } as const;
    return (await this.#transport.json(request, Metrics)).points.map(toCamelKeys);
  }

  /** The newest part of the console. */
  async logs(options: CallOptions & { readonly maxBytes?: number | undefined } = {}): Promise<string> {
    const { maxBytes, ...call } = options;
    const query = { max_bytes: maxBytes };
    const request = { ...call, method: 'GET', path: `${this.#base}/logs`, query } as const;
    return (await this.#transport.json(request, Logs)).console;
  }

  /** Counts as use: it times out when `timeoutSec` has passed from now on. */
  ping(options: CallOptions = {}): Promise<void> {
    return pingSandbox(this.#transport, this.id, options);
  }

  /**
   * What happens to it, as it happens, by whomever: `for await (const event of sandbox.events())`. Goes on over
   * connections that break, without gap or repetition, until it is deleted, `signal` fires or the loop is left.
   *
   * @throws DormouseError when the server refuses, or stays away for a minute
   */
  events(options: FollowOptions = {}): AsyncGenerator<SandboxEvent, void, undefined> {
    return followEvents(this.#transport, `${this.#base}/events`, options);
  }

  /** What has happened to it, newest first. */
  pastEvents(options: CallOptions = {}): AsyncGenerator<SandboxEvent, void, undefined> {
    return listEvents(this.#transport, `${this.#base}/events`, options);
  }

  /**
   * Puts it to sleep: its processes and memory become a snapshot, and nothing of them is left running. Paused
   * already, it stays as it is.
   *
   * @throws DormouseError when it could not be paused; it runs on then
   */
  async pause(options: PauseOptions = {}): Promise<SandboxInfo> {
    this.#info = await pauseSandbox(this.#transport, this.id, options);
    return this.#info;
  }

  /**
   * Wakes it where it was, and answers when it takes commands. Running already, it stays as it is. `resumedBy` of the
   * answer tells whether it is really where it was (`memory`) or had to boot from its disk (`reboot`).
   *
   * @throws DormouseError when it could not be resumed; it stays paused then
   */
  async resume(options: ResumeOptions = {}): Promise<SandboxInfo> {
    this.#info = await resumeSandbox(this.#transport, this.id, options);
    return this.#info;
  }

  /**
   * Makes sandboxes that begin where this one is now; it goes on as it was. Each result is a sandbox or an error:
   * some may fail while others run. `await using` deletes a child at the end of its scope.
   *
   * @param count 1 to 100
   */
  async fork(count = 1, options: ForkOptions = {}): Promise<readonly ForkResult[]> {
    const children = await forkSandbox(this.#transport, this.id, count, options);
    return children.map(({ sandbox, error }) =>
      sandbox === undefined ? { error } : { sandbox: new Sandbox(this.#transport, sandbox, true) },
    );
  }

  /** Keeps its present moment under a name: `Sandbox.create({ template: name })` begins there. It goes on as it was. */
  snapshot(options: SnapshotOptions = {}): Promise<SnapshotInfo> {
    return createSnapshot(this.#transport, this.id, options);
  }

  /** Ends it, running or paused, and frees everything it had. */
  async delete(options: CallOptions = {}): Promise<void> {
    this.#owned = false;
    await deleteSandbox(this.#transport, this.id, options);
  }

  /** Leaving an `await using` scope no longer deletes it. */
  keep(): this {
    this.#owned = false;
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#owned) await this.delete();
  }

  async #follow(first: ExecClientMessage, signal: AbortSignal | undefined): Promise<SandboxProcess> {
    const socket = await openSocket(this.#transport.options, `${this.#base}/exec/stream`, { signal });
    return SandboxProcess.open(socket, first, signal);
  }

  #exec(command: string | Command, options: ExecOptions): Promise<WireExecResult> {
    const request = {
      ...execCallOptions(options),
      method: 'POST',
      path: `${this.#base}/exec`,
      json: execRequest(command, options),
    } as const;
    return this.#transport.json(request, WireExecResult);
  }
}

function outcome<Output>(result: WireExecResult, decode: (text: string) => Output): ExecResult<Output> {
  return {
    stdout: decode(result.stdout),
    stderr: decode(result.stderr),
    exitCode: result.exit_code,
    signal: result.signal,
    durationMs: result.duration_ms,
    truncated: result.truncated,
  };
}

function connect(options: ClientOptions): Transport {
  return new Transport(resolveOptions(options, process.env));
}
