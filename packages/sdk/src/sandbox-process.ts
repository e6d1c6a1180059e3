import { EXEC_STREAM_CLOSE, type ExecClientMessage, ExecServerMessage } from '@dormouse/contracts';
import { DormouseError, type ErrorCode, isErrorCode } from '@dormouse/errors';
import { WebSocket } from 'ws';
import { EventQueue, type Valve } from './event-queue.js';
import { parseJson } from './parse-json.js';

/** What a process tells, in order; `exit` is the last. */
export type ProcessEvent =
  | { readonly type: 'stdout' | 'stderr' | 'pty'; readonly data: Uint8Array }
  | ({ readonly type: 'exit' } & ProcessExit);

export interface ProcessExit {
  /** 128 + signal number when a signal ended it. */
  readonly exitCode: number;
  /** The signal that ended it: `SIGKILL`. */
  readonly signal: string | null;
}

/** A process's input. */
export interface ProcessInput {
  /** Resolves when the bytes left this program: awaiting it keeps a fast writer from filling memory. */
  write(data: string | Uint8Array): Promise<void>;
  /** End of input. */
  end(): Promise<void>;
}

/** Most bytes of input in one message; base64 of it stays well below what the server accepts. */
const STDIN_CHUNK_BYTES = 256 * 1024;

/** The server pings every 30 s and gives up on who does not answer. */
const SIGN_OF_LIFE_MS = 10_000;

const CODE_OF_CLOSE: Readonly<Record<number, ErrorCode>> = {
  [EXEC_STREAM_CLOSE.protocolError]: 'invalid_request',
  [EXEC_STREAM_CLOSE.unauthorized]: 'unauthorized',
  [EXEC_STREAM_CLOSE.forbidden]: 'forbidden',
  [EXEC_STREAM_CLOSE.notFound]: 'not_found',
  [EXEC_STREAM_CLOSE.timeout]: 'timeout',
  [EXEC_STREAM_CLOSE.invalidState]: 'invalid_state',
};

/**
 * A process in a sandbox, followed over a WebSocket. Iterate it for its output:
 *
 * ```ts
 * for await (const event of process) if (event.type === 'stdout') consume(event.data);
 * ```
 *
 * Output that nobody reads holds the process up, as a pipe does; `wait()` reads and forgets it.
 */
export class SandboxProcess implements AsyncIterable<ProcessEvent>, AsyncDisposable {
  /** Its number inside the sandbox. */
  readonly pid: number;
  readonly stdin: ProcessInput;
  /** Settles when the process ended and its output was read; rejects when the connection was lost before. */
  readonly exit: Promise<ProcessExit>;
  readonly #socket: WebSocket;
  readonly #queue: EventQueue<ProcessEvent>;

  private constructor(
    socket: WebSocket,
    queue: EventQueue<ProcessEvent>,
    pid: number,
    exit: Promise<ProcessExit>,
  ) {
    this.#socket = socket;
    this.#queue = queue;
    this.pid = pid;
    this.exit = exit;
    this.stdin = {
      write: (data) => this.#write(data),
      end: () => this.#send({ type: 'close_stdin' }),
    };
  }

  /**
   * Sends the first message on an open socket and waits for the process to be there.
   *
   * @throws DormouseError as the server says: `not_found`, `invalid_state`, `unauthorized` …
   */
  static open(socket: WebSocket, first: ExecClientMessage, signal?: AbortSignal): Promise<SandboxProcess> {
    const queue = new EventQueue<ProcessEvent>(pausing(socket));
    return new Promise((resolve, reject) => {
      let settleExit: (exit: ProcessExit) => void = () => {};
      let failExit: (error: Error) => void = () => {};
      const exit = new Promise<ProcessExit>((settle, fail) => {
        settleExit = settle;
        failExit = fail;
      });
      // Whoever only iterates learns of the failure there; an unobserved promise must not end the program.
      exit.catch(() => {});
      const fail = (error: Error): void => {
        reject(error);
        failExit(error);
        queue.end(error);
      };
      const cancel = (): void => {
        const cause = signal?.reason;
        fail(new DormouseError('cancelled', 'following the process was cancelled', { cause }));
        socket.terminate();
      };
      signal?.addEventListener('abort', cancel, { once: true });
      if (signal?.aborted) cancel();
      socket.on('message', (raw) => {
        const message = readMessage(raw.toString());
        switch (message?.type) {
          case 'start':
            resolve(new SandboxProcess(socket, queue, message.pid, exit));
            return;
          case 'stdout':
          case 'stderr':
          case 'pty': {
            const data = Buffer.from(message.data, 'base64');
            queue.push({ type: message.type, data }, data.length);
            return;
          }
          case 'exit': {
            const end = { exitCode: message.exit_code, signal: message.signal };
            queue.push({ type: 'exit', ...end }, 0);
            queue.end();
            settleExit(end);
            socket.close(1000);
            return;
          }
          case 'error':
            fail(new DormouseError(isErrorCode(message.code) ? message.code : 'internal', message.message));
            socket.close(1000);
            return;
          default:
            fail(new DormouseError('internal', 'the server sent a message that is not of the protocol'));
            socket.close(1002);
        }
      });
      socket.on('error', (cause) => fail(lost(cause)));
      socket.on('close', (code, reason) => {
        signal?.removeEventListener('abort', cancel);
        fail(closed(code, reason.toString()));
      });
      socket.send(JSON.stringify(first));
    });
  }

  [Symbol.asyncIterator](): AsyncIterator<ProcessEvent> {
    return this.#queue;
  }

  /** Waits for the end and forgets the output. */
  async wait(): Promise<ProcessExit> {
    this.#queue.discard();
    return this.exit;
  }

  /** Sends a signal to the process group; default SIGKILL. */
  async kill(signal = 'SIGKILL'): Promise<void> {
    await this.#send({ type: 'signal', name: signal });
  }

  /** Tells the process's terminal its new size. */
  async resize(cols: number, rows: number): Promise<void> {
    await this.#send({ type: 'resize', cols, rows });
  }

  /** Leaves. The process is killed unless it was started with `detach`. */
  close(): void {
    this.#queue.discard();
    this.#socket.close(1000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = new Promise<void>((resolve) => this.#socket.once('close', () => resolve()));
    if (this.#socket.readyState === WebSocket.CLOSED) return;
    this.close();
    await gone;
  }

  async #write(data: string | Uint8Array): Promise<void> {
    const bytes =
      typeof data === 'string' ? Buffer.from(data) : Buffer.from(data.buffer, data.byteOffset, data.length);
    for (let offset = 0; offset < bytes.length; offset += STDIN_CHUNK_BYTES) {
      const chunk = bytes.subarray(offset, offset + STDIN_CHUNK_BYTES);
      await this.#send({ type: 'stdin', data: chunk.toString('base64'), encoding: 'base64' });
    }
  }

  #send(message: ExecClientMessage): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#socket.readyState !== WebSocket.OPEN) {
        reject(new DormouseError('invalid_state', 'the process has ended or its connection is closed'));
        return;
      }
      this.#socket.send(JSON.stringify(message), (cause) => (cause ? reject(lost(cause)) : resolve()));
    });
  }
}

/**
 * Stops reading the socket and starts again. While it is not read, the server's pings are not seen either; a pong
 * of our own accord (RFC 6455, 5.5.3, allows it) says that we are only slow.
 */
function pausing(socket: WebSocket): Valve {
  let timer: NodeJS.Timeout | undefined;
  socket.once('close', () => clearInterval(timer));
  return {
    pause: () => {
      socket.pause();
      timer = setInterval(() => {
        if (socket.readyState === WebSocket.OPEN) socket.pong();
      }, SIGN_OF_LIFE_MS);
      timer.unref();
    },
    resume: () => {
      clearInterval(timer);
      socket.resume();
    },
  };
}

/** Output is most of what comes: it is recognised by hand, everything else by the schema. */
function readMessage(text: string): ExecServerMessage | undefined {
  const value = parseJson(text);
  if (typeof value === 'object' && value !== null && 'type' in value && 'data' in value) {
    const { type, data } = value;
    if ((type === 'stdout' || type === 'stderr' || type === 'pty') && typeof data === 'string')
      return { type, data };
  }
  return ExecServerMessage.safeParse(value).data;
}

function lost(cause: Error): DormouseError {
  return new DormouseError('unavailable', `the connection to the process was lost: ${cause.message}`, {
    cause,
  });
}

function closed(code: number, reason: string): DormouseError {
  const detail = reason === '' ? `close code ${code}` : reason;
  return new DormouseError(
    CODE_OF_CLOSE[code] ?? 'unavailable',
    `the connection to the process ended: ${detail}`,
  );
}
