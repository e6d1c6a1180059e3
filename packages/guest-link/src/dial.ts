import { Duplex } from 'node:stream';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import type { WaitOptions } from './abort.js';
import { DataChunk } from './data-chunk.js';
import type { GuestLink } from './guest-link.js';
import { type GuestStream, messageCost } from './guest-stream.js';
import { InboundQueue } from './inbound-queue.js';
import { MESSAGE, OPERATION } from './protocol.js';
import { decodeNothing, encodeDial } from './system-codec.js';
import { violation } from './violation.js';

/** How to connect. `signal` bounds the connecting; the connection then lives on. */
export interface DialOptions {
  /** Host as the guest sees it. Default: 127.0.0.1, then ::1. */
  readonly host?: string;
  /** How long the guest tries, default 5,000 ms. */
  readonly connectTimeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Default of the guest. */
const CONNECT_TIMEOUT_MS = 5_000;

/** What the duplex itself holds in either direction. */
const BUFFER_BYTES = 65_536;

/** What the guest's answer may take beyond its own timeout. */
const ANSWER_MARGIN_MS = 10_000;

/**
 * Connects to a TCP port as the guest sees it. The duplex half-closes: `end()` ends the sending only, and 'end' tells
 * that the peer has ended its own. Destroying it closes the connection.
 *
 * @throws GuestError `connection_refused`, `timed_out` …
 */
export async function dial(link: GuestLink, port: number, options: DialOptions): Promise<Duplex> {
  const { host = '', connectTimeoutMs = CONNECT_TIMEOUT_MS, signal } = options;
  const args = encodeDial(port, host, connectTimeoutMs);
  const bounds: WaitOptions = {
    timeoutMs: connectTimeoutMs + ANSWER_MARGIN_MS,
    ...(signal === undefined ? {} : { signal }),
  };
  return new Promise((resolve, reject) => {
    let connection: GuestConnection | undefined;
    const queue = new InboundQueue<DataChunk>({
      taken: (cost) => stream.consumed(cost),
      merge: (last, next) => last.append(next),
    });
    const stream: GuestStream = link.open(
      {
        what: `the connection to port ${port}`,
        operation: OPERATION.dial,
        args,
        windowBytes: link.bulkWindowBytes,
        ...bounds,
      },
      {
        message: (message) => {
          if (message.kind !== MESSAGE.connected || connection !== undefined) {
            throw violation(`MESSAGE ${message.kind} from a connection`);
          }
          decodeNothing(message.body);
          stream.endTimeout();
          stream.ignoreSignal();
          stream.consumed(messageCost(message));
          connection = new GuestConnection(stream, queue);
          resolve(connection);
        },
        data: (channel, bytes) => {
          if (connection === undefined || channel !== 0)
            throw violation('DATA of a connection that is not open');
          queue.push(new DataChunk(channel, bytes), bytes.length);
        },
        end: () => queue.finish(),
        closed: (error) => {
          queue.finish(error);
          const missing = violation('a connection ended before it was made');
          reject(error ?? missing);
          connection?.guestClosed(error);
          if (error === undefined && connection === undefined) throw missing;
        },
      },
    );
  });
}

/** A TCP connection of the guest. Bytes are taken from the queue, and so credited, only as the reader takes them. */
class GuestConnection extends Duplex {
  readonly #stream: GuestStream;
  readonly #queue: InboundQueue<DataChunk>;

  constructor(stream: GuestStream, queue: InboundQueue<DataChunk>) {
    super({ allowHalfOpen: true, highWaterMark: BUFFER_BYTES });
    // Who does not care why a connection broke still sees 'close'; an 'error' nobody hears would end the program.
    this.on('error', fromUnknown);
    this.#stream = stream;
    this.#queue = queue;
  }

  /** The guest's CLOSE, or the loss of the link. What was received before an ordinary end can still be read. */
  guestClosed(error: DormouseError | undefined): void {
    if (error !== undefined) this.destroy(error);
  }

  override _read(): void {
    this.#queue.next().then(
      (next) => this.push(next.done === true ? null : next.value.data),
      (error: unknown) => this.destroy(fromUnknown(error)),
    );
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.#stream.write(chunk).then(() => done(), done);
  }

  override _final(done: (error?: Error) => void): void {
    this.#stream.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#stream.cancel(new DormouseError('cancelled', 'the connection was closed', { cause: error }));
    done(error);
  }
}
