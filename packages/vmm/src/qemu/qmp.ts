import { createConnection, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { DormouseError, systemErrorCode } from '@dormouse/errors';
import { z } from 'zod';

/** Longest line QMP is believed: answers we ask for are a few kilobytes. */
const MAX_LINE_BYTES = 4 * 1024 * 1024;
const CONNECT_POLL_MS = 5;
/** Errors of connecting that are this process's own. */
const OUR_OWN_LACK: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS', 'EAGAIN']);
const DEFAULT_COMMAND_TIMEOUT_MS = 30_000;

const greeting = z.object({
  QMP: z.object({
    version: z.object({ qemu: z.object({ major: z.int(), minor: z.int(), micro: z.int() }) }),
  }),
});
const message = z.union([
  z.object({ return: z.unknown(), id: z.int() }),
  z.object({ error: z.object({ class: z.string(), desc: z.string() }), id: z.int().optional() }),
  z.object({ event: z.string(), data: z.record(z.string(), z.unknown()).optional() }),
]);

/** A node of the block graph. */
export interface BlockNode {
  readonly 'node-name': string;
  readonly image: { readonly filename: string };
}

/** Commands this project sends, with their arguments and answers. Source: QEMU QMP reference manual. */
export interface QmpCommands {
  qmp_capabilities: { arguments: undefined; result: unknown };
  cont: { arguments: undefined; result: unknown };
  stop: { arguments: undefined; result: unknown };
  quit: { arguments: undefined; result: unknown };
  'migrate-set-capabilities': {
    arguments: { readonly capabilities: readonly { readonly capability: string; readonly state: boolean }[] };
    result: unknown;
  };
  'migrate-set-parameters': { arguments: { readonly 'max-bandwidth': number }; result: unknown };
  migrate: { arguments: { readonly uri: string }; result: unknown };
  'migrate-incoming': { arguments: { readonly uri: string }; result: unknown };
  migrate_cancel: { arguments: undefined; result: unknown };
  'query-migrate': {
    arguments: undefined;
    result: { readonly status?: string; readonly 'error-desc'?: string };
  };
  'blockdev-add': { arguments: Readonly<Record<string, unknown>>; result: unknown };
  'blockdev-del': { arguments: { readonly 'node-name': string }; result: unknown };
  'blockdev-reopen': {
    arguments: { readonly options: readonly Readonly<Record<string, unknown>>[] };
    result: unknown;
  };
  'blockdev-snapshot': { arguments: { readonly node: string; readonly overlay: string }; result: unknown };
  'query-named-block-nodes': {
    arguments: { readonly flat: true };
    result: readonly BlockNode[];
  };
  'query-status': { arguments: undefined; result: { readonly status: string; readonly running: boolean } };
}

/** Something QEMU said by itself, e.g. `SHUTDOWN`. */
export interface QmpEvent {
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
}

interface Waiting {
  readonly command: string;
  resolve(value: unknown): void;
  reject(error: DormouseError): void;
}

/** One QMP session. QEMU serves one at a time on a socket; it listens again when this one has gone. */
export class QmpClient {
  /** Version of the QEMU at the other end. */
  readonly version: string;
  /** Resolves when the connection has ended. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  #nextId = 1;

  private constructor(socket: Socket, lines: LineReader, version: string) {
    this.#socket = socket;
    this.version = version;
    this.closed = new Promise((resolve) => {
      const end = (): void => {
        for (const waiting of this.#waiting.values()) waiting.reject(connectionLost(waiting.command));
        this.#waiting.clear();
        resolve();
      };
      if (socket.destroyed) end();
      else socket.once('close', end);
    });
    lines.onLine = (line) => this.#take(line);
  }

  /**
   * Connects, retrying while the socket does not exist or refuses, and negotiates capabilities.
   *
   * @throws DormouseError `boot_failed` when nothing answers within `timeoutMs`
   */
  static async connect(path: string, timeoutMs: number, signal?: AbortSignal): Promise<QmpClient> {
    const socket = await connectWithRetry(path, timeoutMs, signal);
    const lines = new LineReader(socket);
    try {
      const first = greeting.safeParse(await lines.first(timeoutMs));
      if (!first.success) {
        throw new DormouseError('boot_failed', 'what answers at the control socket is not QEMU', {
          cause: first.error,
        });
      }
      const { major, minor, micro } = first.data.QMP.version.qemu;
      const client = new QmpClient(socket, lines, `${major}.${minor}.${micro}`);
      await client.execute('qmp_capabilities', undefined, timeoutMs);
      return client;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  /** Sends a command and waits for its answer. */
  async execute<Name extends keyof QmpCommands>(
    name: Name,
    args?: QmpCommands[Name]['arguments'],
    timeoutMs: number = DEFAULT_COMMAND_TIMEOUT_MS,
  ): Promise<QmpCommands[Name]['result']> {
    const id = this.#nextId++;
    if (this.#socket.destroyed) throw connectionLost(name);
    const answer = new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(id, { command: name, resolve, reject });
    });
    const timer = setTimeout(() => {
      this.#waiting
        .get(id)
        ?.reject(new DormouseError('timeout', `QEMU did not answer ${name} within ${timeoutMs} ms`));
      this.#waiting.delete(id);
    }, timeoutMs);
    this.#socket.write(
      `${JSON.stringify({ execute: name, ...(args === undefined ? {} : { arguments: args }), id })}\n`,
    );
    try {
      // What QEMU answers to a command is fixed by its published schema; QmpCommands mirrors that.
      return (await answer) as QmpCommands[Name]['result'];
    } finally {
      clearTimeout(timer);
    }
  }

  /** Calls `listener` for every event until the returned function is called. */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(line: unknown): void {
    const parsed = message.safeParse(line);
    if (!parsed.success) {
      this.#socket.destroy();
      return;
    }
    const value = parsed.data;
    if ('event' in value) {
      for (const listener of this.#listeners) listener({ name: value.event, data: value.data ?? {} });
      return;
    }
    if (value.id === undefined) return;
    const waiting = this.#waiting.get(value.id);
    this.#waiting.delete(value.id);
    if (waiting === undefined) return;
    if ('error' in value) {
      waiting.reject(new DormouseError('internal', `QEMU refused ${waiting.command}: ${value.error.desc}`));
    } else {
      waiting.resolve(value.return);
    }
  }
}

function connectionLost(command: string): DormouseError {
  return new DormouseError('unavailable', `the VM ended before it answered ${command}`);
}

async function connectWithRetry(path: string, timeoutMs: number, signal?: AbortSignal): Promise<Socket> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await connectOnce(path);
    } catch (error) {
      const code = systemErrorCode(error);
      // What this process lacks (descriptors, memory) says nothing about the VM.
      if (code !== undefined && OUR_OWN_LACK.has(code)) throw error;
      const notYet = code === 'ENOENT' || code === 'ECONNREFUSED';
      if (!notYet || performance.now() > deadline) {
        throw new DormouseError(
          'boot_failed',
          `the VM's control socket did not answer within ${timeoutMs} ms`,
          {
            cause: error,
          },
        );
      }
    }
    await delay(CONNECT_POLL_MS, undefined, signal === undefined ? {} : { signal });
  }
}

function connectOnce(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      // A reset is followed by `close`, which is where it is dealt with.
      socket.on('error', () => {});
      resolve(socket);
    });
  });
}

/** Splits the socket's bytes into JSON lines, at most MAX_LINE_BYTES long. */
class LineReader {
  onLine: ((line: unknown) => void) | undefined;
  readonly #early: unknown[] = [];
  readonly #socket: Socket;
  #rest = '';

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => this.#push(chunk));
  }

  /** The first line, which is the greeting. */
  async first(timeoutMs: number): Promise<unknown> {
    return await new Promise((resolve, reject) => {
      const fail = (): void =>
        reject(new DormouseError('boot_failed', 'the VM closed its control socket unasked'));
      const timer = setTimeout(() => {
        reject(new DormouseError('boot_failed', `the VM did not greet within ${timeoutMs} ms`));
      }, timeoutMs);
      const done = (line: unknown): void => {
        clearTimeout(timer);
        this.#socket.off('close', fail);
        this.onLine = undefined;
        resolve(line);
      };
      this.#socket.once('close', fail);
      const early = this.#early.shift();
      if (early !== undefined) done(early);
      else this.onLine = done;
    });
  }

  #push(chunk: string): void {
    this.#rest += chunk;
    if (this.#rest.length > MAX_LINE_BYTES) {
      this.#socket.destroy();
      return;
    }
    for (let end = this.#rest.indexOf('\n'); end >= 0; end = this.#rest.indexOf('\n')) {
      const text = this.#rest.slice(0, end).trim();
      this.#rest = this.#rest.slice(end + 1);
      if (text === '') continue;
      let line: unknown;
      try {
        line = JSON.parse(text);
      } catch {
        this.#socket.destroy();
        return;
      }
      if (this.onLine === undefined) this.#early.push(line);
      else this.onLine(line);
    }
  }
}
