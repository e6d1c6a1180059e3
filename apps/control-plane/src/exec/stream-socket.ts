import { EXEC_STREAM_CLOSE, ExecClientMessage, type ExecServerMessage } from '@dormouse/contracts';
import { DormouseError, type ErrorCode } from '@dormouse/errors';
import type { RawData, WebSocket } from 'ws';
import type { z } from 'zod';
import { MessageQueue } from '../flow/message-queue.js';
import { invalidRequest } from '../http/errors.js';

/** How much may wait in a socket before the process on the other side has to wait. */
export const SEND_HIGH_WATER_BYTES: number = 1024 * 1024;

/** How often a client has to show that it is there. */
const PING_INTERVAL_MS = 30_000;

/** A validated message of a client. */
export type ClientMessage = z.output<typeof ExecClientMessage>;

/** A WebSocket that speaks the messages of the contract, with backpressure in both directions. */
export class StreamSocket {
  readonly #socket: WebSocket;
  readonly #closed = new AbortController();
  /** Messages in the order they came; fails with `invalid_request` at the first that is none. */
  readonly messages: MessageQueue<ClientMessage>;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    this.messages = new MessageQueue(socket);
    socket.on('message', (data) => this.#receive(data));
    socket.on('error', () => socket.terminate());
    socket.on('close', () => {
      this.#closed.abort();
      this.messages.end();
    });
    this.#keepAlive();
  }

  /** Fires when the socket is closed, by whomever. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Resolves when there is room for the next message. */
  send(message: ExecServerMessage): Promise<void> {
    return new Promise((resolve, reject) => {
      const full = this.#socket.bufferedAmount > SEND_HIGH_WATER_BYTES;
      this.#socket.send(JSON.stringify(message), (error) => {
        if (error) reject(new DormouseError('cancelled', 'the client is gone', { cause: error }));
        else resolve();
      });
      if (!full) resolve();
    });
  }

  /** Says that everything went as it should. */
  close(): void {
    this.#socket.close(1000);
  }

  /** Says what went wrong, and closes. */
  fail(error: DormouseError): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    const text = error.suggestion === undefined ? error.message : `${error.message}. ${error.suggestion}`;
    const message: ExecServerMessage = { type: 'error', code: error.code, message: text };
    this.#socket.send(JSON.stringify(message));
    this.#socket.close(closeCode(error.code), error.code);
  }

  #receive(data: RawData): void {
    const bytes = Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data as Buffer);
    let value: unknown;
    try {
      value = JSON.parse(bytes.toString('utf8'));
    } catch {
      this.messages.fail(new DormouseError('invalid_request', 'a message is not valid JSON'));
      return;
    }
    const result = ExecClientMessage.safeParse(value);
    if (result.success) this.messages.push(result.data, bytes.length);
    else this.messages.fail(invalidRequest(result.error));
  }

  /**
   * Ends sockets whose other side has silently gone. One that has not taken what was sent is not judged: its
   * answer to the ping is behind that, and TCP notices by itself when nobody is there.
   */
  #keepAlive(): void {
    const socket = this.#socket;
    let answered = true;
    const timer = setInterval(() => {
      if (!answered && socket.bufferedAmount === 0 && !socket.isPaused) {
        socket.terminate();
        return;
      }
      answered = false;
      socket.ping();
    }, PING_INTERVAL_MS);
    socket.on('pong', () => {
      answered = true;
    });
    socket.on('close', () => clearInterval(timer));
  }
}

function closeCode(code: ErrorCode): number {
  switch (code) {
    case 'invalid_request':
      return EXEC_STREAM_CLOSE.protocolError;
    case 'unauthorized':
      return EXEC_STREAM_CLOSE.unauthorized;
    case 'forbidden':
      return EXEC_STREAM_CLOSE.forbidden;
    case 'not_found':
      return EXEC_STREAM_CLOSE.notFound;
    case 'timeout':
      return EXEC_STREAM_CLOSE.timeout;
    case 'invalid_state':
      return EXEC_STREAM_CLOSE.invalidState;
    default:
      return 1011;
  }
}
