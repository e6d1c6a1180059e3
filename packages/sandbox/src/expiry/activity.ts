/** Where time comes from. */
export interface Clock {
  /** Unix milliseconds, as people are shown them: may jump. */
  readonly wallMs: () => number;
  /** Milliseconds since some moment: never jumps, and stands still while the host is suspended. */
  readonly monotonicMs: () => number;
}

export const SYSTEM_CLOCK: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

/**
 * When a sandbox was used last. What is under way (a command, a file on its way, a connection) is use for as long as
 * it lasts, however silent it is.
 */
export class Activity {
  readonly #clock: Clock;
  #underWay = 0;
  #last: { readonly wallMs: number; readonly monotonicMs: number };

  constructor(clock: Clock = SYSTEM_CLOCK) {
    this.#clock = clock;
    this.#last = this.#now();
  }

  /** Whether something is under way. */
  get inUse(): boolean {
    return this.#underWay > 0;
  }

  /** Unix milliseconds of the last use: now, while something is under way. */
  get lastWallMs(): number {
    return this.inUse ? this.#clock.wallMs() : this.#last.wallMs;
  }

  /** The same, by the clock that does not jump. */
  get lastMonotonicMs(): number {
    return this.inUse ? this.#clock.monotonicMs() : this.#last.monotonicMs;
  }

  /** Notes a use that takes no time. */
  touch(): void {
    this.#last = this.#now();
  }

  /** Begins a use, which lasts until it is disposed. */
  begin(): Disposable {
    this.#underWay += 1;
    let ended = false;
    return {
      [Symbol.dispose]: () => {
        if (ended) return;
        ended = true;
        this.#underWay -= 1;
        this.touch();
      },
    };
  }

  #now(): { readonly wallMs: number; readonly monotonicMs: number } {
    return { wallMs: this.#clock.wallMs(), monotonicMs: this.#clock.monotonicMs() };
  }
}
