import type { DormouseError } from '@dormouse/errors';
import { bound, type WaitOptions } from './abort.js';
import type { FrameSource, OutboundFrame } from './frame-writer.js';
import { FRAME } from './protocol.js';
import { violation } from './violation.js';

/** PONGs that may wait to be sent; a guest that pings on without reading its answers is hostile. */
const MAX_WAITING_PONGS = 64;

interface Ping {
  readonly sentAtMs: number;
  readonly resolve: (roundTripMs: number) => void;
  readonly reject: (error: DormouseError) => void;
}

/** Stream 0: pings and their answers, both ways. */
export class LinkControl implements FrameSource {
  readonly #ready: () => void;
  readonly #pings = new Map<bigint, Ping>();
  readonly #frames: OutboundFrame[] = [];
  #waitingPongs = 0;
  #nextPing = 1n;

  /** @param ready called when there is something to send */
  constructor(ready: () => void) {
    this.#ready = ready;
  }

  /** Resolves with the round trip in milliseconds. */
  ping(options: WaitOptions): Promise<number> {
    const number = this.#nextPing++;
    const answer = new Promise<number>((resolve, reject) => {
      const wait = bound(options, 'a ping', (error) => this.#reject(number, error));
      this.#pings.set(number, {
        sentAtMs: performance.now(),
        resolve: (roundTripMs) => {
          wait[Symbol.dispose]();
          resolve(roundTripMs);
        },
        reject: (error) => {
          wait[Symbol.dispose]();
          reject(error);
        },
      });
      const payload = Buffer.alloc(8);
      payload.writeBigUInt64LE(number);
      this.#frames.push({ type: FRAME.ping, channel: 0, stream: 0, payload });
      this.#ready();
    });
    return answer;
  }

  /** Answers the guest's PING. @throws DormouseError `guest_protocol` */
  receivePing(payload: Uint8Array): void {
    this.#waitingPongs += 1;
    if (this.#waitingPongs > MAX_WAITING_PONGS) throw violation('PINGs without taking the answers');
    const written = (): void => {
      this.#waitingPongs -= 1;
    };
    this.#frames.push({
      type: FRAME.pong,
      channel: 0,
      stream: 0,
      payload: Uint8Array.from(payload),
      written,
    });
    this.#ready();
  }

  /** The answer to a PING of ours; one that came too late, or to no PING, means nothing. */
  receivePong(payload: Uint8Array): void {
    if (payload.length !== 8) return;
    const number = Buffer.from(payload).readBigUInt64LE();
    const ping = this.#pings.get(number);
    this.#pings.delete(number);
    ping?.resolve(performance.now() - ping.sentAtMs);
  }

  /** The link is lost. */
  fail(error: DormouseError): void {
    for (const number of [...this.#pings.keys()]) this.#reject(number, error);
  }

  nextFrame(): OutboundFrame | undefined {
    return this.#frames.shift();
  }

  #reject(number: bigint, error: DormouseError): void {
    const ping = this.#pings.get(number);
    this.#pings.delete(number);
    ping?.reject(error);
  }
}
