import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type ExecRequest,
  ExecRequestSchema,
  type ExecResponse,
  type ExecStartSchema,
  fromConnectError,
  type HostClient,
} from '@dormouse/host-api';

/** How a process ended. */
export interface Exit {
  readonly exitCode: number;
  readonly signal: number;
}

/** What came out of a call that was read to its end. */
export interface Outcome extends Exit {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly terminal: Buffer;
}

type Message = MessageInitShape<typeof ExecRequestSchema>['message'];

/** One exec call: what is sent into it and what comes out of it. */
export class ExecCall {
  /** Pid of the process in the guest. */
  readonly pid: number;
  readonly #input: Input;
  readonly #events: AsyncIterator<ExecResponse>;
  readonly #abort: AbortController;

  private constructor(
    pid: number,
    input: Input,
    events: AsyncIterator<ExecResponse>,
    abort: AbortController,
  ) {
    this.pid = pid;
    this.#input = input;
    this.#events = events;
    this.#abort = abort;
  }

  /** Starts a process and resolves when it runs. Errors are those of packages/errors. */
  static start(host: HostClient['host'], start: MessageInitShape<typeof ExecStartSchema>): Promise<ExecCall> {
    return ExecCall.open(host, { case: 'start', value: start });
  }

  /** Attaches to a process, with what the guest still holds of its output. */
  static attach(host: HostClient['host'], sandboxId: string, pid: number): Promise<ExecCall> {
    return ExecCall.open(host, { case: 'attach', value: { sandboxId, pid, backlog: true } });
  }

  /** Opens a call with any first message. */
  static async open(host: HostClient['host'], first: Message): Promise<ExecCall> {
    const abort = new AbortController();
    const input = new Input();
    input.push(first);
    const events = host.exec(input, { signal: abort.signal })[Symbol.asyncIterator]();
    const message = (await next(events))?.message;
    if (message?.case !== 'started') throw new Error(`the first answer is ${message?.case}`);
    return new ExecCall(message.value.pid, input, events, abort);
  }

  /** Sends a message. */
  send(message: Message): void {
    this.#input.push(message);
  }

  /** Sends bytes to standard input or the terminal. */
  write(data: Uint8Array | string): void {
    this.send({ case: 'stdin', value: typeof data === 'string' ? Buffer.from(data) : data });
  }

  /** The next answer, or undefined at the end. */
  next(): Promise<ExecResponse | undefined> {
    return next(this.#events);
  }

  /** Reads until the output so far contains `words`. Answers the output. */
  async readUntil(words: string): Promise<string> {
    let output = '';
    while (!output.includes(words)) {
      const message = (await this.next())?.message;
      if (message?.case !== 'stdout' && message?.case !== 'stderr' && message?.case !== 'terminal') {
        throw new Error(`'${words}' did not come; what came: ${output} ${message?.case}`);
      }
      output += Buffer.from(message.value).toString('utf8');
    }
    return output;
  }

  /** Reads to the end. */
  async outcome(): Promise<Outcome> {
    const output: Record<'stdout' | 'stderr' | 'terminal', Uint8Array[]> = {
      stdout: [],
      stderr: [],
      terminal: [],
    };
    let exit: Exit | undefined;
    for (let event = await this.next(); event !== undefined; event = await this.next()) {
      const { message } = event;
      if (message.case === 'exited')
        exit = { exitCode: message.value.exitCode, signal: message.value.signal };
      else if (message.case === 'stdout' || message.case === 'stderr' || message.case === 'terminal') {
        if (exit !== undefined) throw new Error('output came after the end');
        output[message.case].push(message.value);
      }
    }
    if (exit === undefined) throw new Error('the call ended without the end of the process');
    const { stdout, stderr, terminal } = output;
    return {
      ...exit,
      stdout: Buffer.concat(stdout),
      stderr: Buffer.concat(stderr),
      terminal: Buffer.concat(terminal),
    };
  }

  /** Goes away, as a caller that crashes does. */
  hangUp(): void {
    this.#abort.abort();
  }
}

async function next(events: AsyncIterator<ExecResponse>): Promise<ExecResponse | undefined> {
  try {
    const result = await events.next();
    return result.done === true ? undefined : result.value;
  } catch (error) {
    throw fromConnectError(error);
  }
}

/** Messages pushed in, taken out as the transport asks for them; never ends by itself. */
class Input implements AsyncIterable<ExecRequest> {
  readonly #waiting: Message[] = [];
  #wake: (() => void) | undefined;

  push(message: Message): void {
    this.#waiting.push(message);
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ExecRequest> {
    for (;;) {
      const message = this.#waiting.shift();
      if (message !== undefined) yield create(ExecRequestSchema, { message });
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}
