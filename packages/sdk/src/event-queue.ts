/** Bytes waiting for the consumer at which the source is told to stop. */
const HIGH_WATER_BYTES = 1024 * 1024;
/** Bytes waiting at which it may go on. */
const LOW_WATER_BYTES = 256 * 1024;

/** How a source is slowed down. */
export interface Valve {
  pause(): void;
  resume(): void;
}

/**
 * A queue between a socket that pushes and a consumer that pulls. A consumer that lags closes the valve, so the
 * backlog is bounded and the pressure reaches the process in the guest.
 */
export class EventQueue<Event> implements AsyncIterableIterator<Event> {
  readonly #valve: Valve;
  #waiting: { event: Event; bytes: number }[] = [];
  #bytes = 0;
  #paused = false;
  #discards = false;
  #ended = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(valve: Valve) {
    this.#valve = valve;
  }

  push(event: Event, bytes: number): void {
    if (this.#ended || this.#discards) return;
    this.#waiting.push({ event, bytes });
    this.#bytes += bytes;
    if (!this.#paused && this.#bytes >= HIGH_WATER_BYTES) {
      this.#paused = true;
      this.#valve.pause();
    }
    this.#wake?.();
  }

  /** No more events; with an error, the consumer gets it after what is waiting. */
  end(error?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#wake?.();
  }

  /** Throws away what waits and what is still to come, so that the source runs freely. */
  discard(): void {
    this.#discards = true;
    this.#waiting = [];
    this.#release(this.#bytes);
  }

  async next(): Promise<IteratorResult<Event, undefined>> {
    for (;;) {
      const first = this.#waiting.shift();
      if (first !== undefined) {
        this.#release(first.bytes);
        return { value: first.event, done: false };
      }
      if (this.#ended) {
        const error = this.#error;
        this.#error = undefined;
        if (error) throw error;
        return { value: undefined, done: true };
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }

  async return(): Promise<IteratorResult<Event, undefined>> {
    this.discard();
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #release(bytes: number): void {
    this.#bytes -= bytes;
    if (this.#paused && this.#bytes <= LOW_WATER_BYTES) {
      this.#paused = false;
      this.#valve.resume();
    }
  }
}
