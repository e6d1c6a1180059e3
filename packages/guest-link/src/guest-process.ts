import { DormouseError } from '@dormouse/errors';
import { neverUnhandled, type WaitOptions } from './abort.js';
import { DataChunk } from './data-chunk.js';
import { GuestInput } from './guest-input.js';
import type { GuestLink } from './guest-link.js';
import { type GuestStream, messageCost } from './guest-stream.js';
import { InboundQueue } from './inbound-queue.js';
import {
  decodeExited,
  decodeStarted,
  encodeInput,
  encodeResize,
  encodeSignal,
  type ProcessExit,
  type TerminalSize,
} from './process-codec.js';
import { CHANNEL, MESSAGE, OPERATION } from './protocol.js';
import { command, type Operation, QUICK_TIMEOUT_MS } from './requests.js';
import { violation } from './violation.js';

/** Where output comes from; a terminal mixes both. */
export type OutputChannel = 'stdout' | 'stderr' | 'terminal';

/** A piece of output: bytes, cut anywhere, in the order the process wrote them per channel. */
export interface ProcessOutput {
  readonly channel: OutputChannel;
  readonly data: Uint8Array;
}

const CHANNELS: ReadonlyMap<number, OutputChannel> = new Map([
  [CHANNEL.stdout, 'stdout'],
  [CHANNEL.stderr, 'stderr'],
  [CHANNEL.terminal, 'terminal'],
]);

/** How long `detach` waits for the guest. */
const DETACH_TIMEOUT_MS = 10_000;

/** How the stream to a process began, which decides how its input is closed. */
type Beginning = 'started' | 'attached';

/** A process this link is attached to. */
export class GuestProcess implements AsyncDisposable {
  readonly pid: number;
  /**
   * The output, once. Whoever does not read it stops the process when its buffers are full; breaking off, or
   * `discardOutput`, throws the rest away instead. Ends with the process; throws when the link is lost.
   */
  readonly output: AsyncIterable<ProcessOutput>;
  /** The end of the process. Rejects with `cancelled` after `detach`, or with the loss of the link. */
  readonly exit: Promise<ProcessExit>;

  readonly #link: GuestLink;
  readonly #beginning: Beginning;
  readonly #session: ProcessSession;

  constructor(link: GuestLink, pid: number, beginning: Beginning, session: ProcessSession) {
    this.#link = link;
    this.pid = pid;
    this.#beginning = beginning;
    this.#session = session;
    this.output = outputOf(session.output);
    this.exit = session.exit;
  }

  /** Throws away what is not read yet and what comes, so that the process never waits for a reader. */
  discardOutput(): void {
    this.#session.output.abandon();
  }

  /**
   * Writes to standard input or the terminal. Resolves when the bytes are on their way and the buffer may be used
   * again; waits while the process does not read.
   *
   * @throws GuestError, DormouseError `invalid_state` when the process has ended, or of the link
   */
  writeInput(data: Uint8Array, options: WaitOptions = {}): Promise<void> {
    return this.#session.stream.write(data, options);
  }

  /** Closes standard input after what was written; a terminal gets its end-of-file character. */
  async closeInput(): Promise<void> {
    if (this.#beginning === 'started') {
      this.#session.stream.end();
      return;
    }
    // END closes the input only on the stream that started the process.
    const args = encodeInput(this.pid, true);
    const operation = { what: `close input of process ${this.pid}`, operation: OPERATION.processInput, args };
    await new GuestInput(this.#link, operation, {}).end();
  }

  /** Tells the terminal its size. @throws GuestError `failed_precondition` without a terminal */
  resize(size: TerminalSize, options: WaitOptions = {}): Promise<void> {
    const args = encodeResize(this.pid, size);
    const operation = { what: `resize process ${this.pid}`, operation: OPERATION.processResize, args };
    return command(this.#link, operation, { timeoutMs: QUICK_TIMEOUT_MS, ...options });
  }

  /** Sends a signal (its Linux number) to the process group. @throws GuestError `no_such_process` */
  signal(signal: number, options: WaitOptions = {}): Promise<void> {
    const args = encodeSignal(this.pid, signal);
    const operation = { what: `signal process ${this.pid}`, operation: OPERATION.processSignal, args };
    return command(this.#link, operation, { timeoutMs: QUICK_TIMEOUT_MS, ...options });
  }

  /**
   * Lets go of the process, which lives on and fills its ring. Resolves when the guest has let go too, at most 10 s
   * later. Output that was not read is lost to this reader.
   */
  async detach(): Promise<void> {
    this.#session.output.abandon();
    await this.#session.detach();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.detach();
  }
}

/** The stream of a process: puts its frames where they belong. */
class ProcessSession {
  readonly stream: GuestStream;
  readonly output: InboundQueue<DataChunk>;
  readonly started: Promise<number>;
  readonly exit: Promise<ProcessExit>;
  readonly #closed: Promise<void>;
  #resolveStarted: (pid: number) => void = () => {};
  #rejectStarted: (error: DormouseError) => void = () => {};
  #resolveExit: (exit: ProcessExit) => void = () => {};
  #rejectExit: (error: DormouseError) => void = () => {};
  #resolveClosed: () => void = () => {};
  #state: 'starting' | 'running' | 'exited' = 'starting';
  #detaching = false;

  constructor(link: GuestLink, operation: Operation, options: WaitOptions) {
    this.started = new Promise((resolve, reject) => {
      this.#resolveStarted = resolve;
      this.#rejectStarted = reject;
    });
    this.exit = neverUnhandled(
      new Promise((resolve, reject) => {
        this.#resolveExit = resolve;
        this.#rejectExit = reject;
      }),
    );
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.output = new InboundQueue({
      taken: (cost) => this.stream.consumed(cost),
      merge: (last, next) => last.append(next),
    });
    this.stream = link.open(
      { ...operation, ...options, windowBytes: link.windowBytes },
      {
        message: ({ kind, body }) => {
          this.stream.consumed(messageCost({ kind, body }));
          this.#message(kind, body);
        },
        data: (channel, bytes) => this.#data(channel, bytes),
        closed: (error) => this.#close(error),
      },
    );
  }

  async detach(): Promise<void> {
    this.#detaching = true;
    this.stream.requestClose();
    const late = new DormouseError('timeout', 'the guest did not let go of the process');
    const timer = setTimeout(() => this.stream.cancel(late), DETACH_TIMEOUT_MS);
    await this.#closed;
    clearTimeout(timer);
  }

  #message(kind: number, body: Uint8Array): void {
    if (kind === MESSAGE.started && this.#state === 'starting') {
      this.#state = 'running';
      this.stream.endTimeout();
      this.stream.ignoreSignal();
      this.#resolveStarted(decodeStarted(body));
    } else if (kind === MESSAGE.exited && this.#state === 'running') {
      this.#state = 'exited';
      this.#resolveExit(decodeExited(body));
    } else {
      throw violation(`MESSAGE ${kind} from a process that is ${this.#state}`);
    }
  }

  #data(channel: number, bytes: Uint8Array): void {
    if (this.#state === 'starting') throw violation('output of a process that is starting');
    if (!CHANNELS.has(channel)) throw violation(`output on channel ${channel}`);
    this.output.push(new DataChunk(channel, bytes), bytes.length);
  }

  #close(error: DormouseError | undefined): void {
    const early = new DormouseError('cancelled', 'detached from the process');
    const reason = this.#detaching ? early : error;
    this.output.finish(this.#detaching ? undefined : error);
    this.#resolveClosed();
    const unexplained = violation('a process stream ended without the end of the process');
    this.#rejectStarted(reason ?? unexplained);
    this.#rejectExit(reason ?? unexplained);
    if (reason === undefined && this.#state !== 'exited') throw unexplained;
  }
}

/** Opens the stream of a process and waits until the guest names its pid. */
export async function openProcess(
  link: GuestLink,
  operation: Operation,
  beginning: Beginning,
  options: WaitOptions,
): Promise<GuestProcess> {
  const session = new ProcessSession(link, operation, { timeoutMs: QUICK_TIMEOUT_MS, ...options });
  return new GuestProcess(link, await session.started, beginning, session);
}

async function* outputOf(queue: InboundQueue<DataChunk>): AsyncGenerator<ProcessOutput, void, undefined> {
  try {
    for (let next = await queue.next(); next.done !== true; next = await queue.next()) {
      const { channel, data } = next.value;
      yield { channel: CHANNELS.get(channel) ?? 'stdout', data };
    }
  } finally {
    queue.abandon();
  }
}
