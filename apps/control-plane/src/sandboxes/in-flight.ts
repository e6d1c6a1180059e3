/**
 * Which sandboxes and snapshots this process is changing right now. The reconciler keeps its hands off them: what it
 * has read about them may be older than what is being done.
 */
export class InFlight {
  readonly #running = new Map<string, number>();
  readonly #observations = new Set<Set<string>>();

  /** Runs work on a sandbox and remembers that it is running. */
  async run<Result>(id: string, work: () => Promise<Result>): Promise<Result> {
    this.#enter(id);
    try {
      return await work();
    } finally {
      this.#leave(id);
    }
  }

  /**
   * Waits, within work on a sandbox, for what the reconciler may have to do with it: meanwhile this work does not keep
   * the reconciler away.
   */
  async outside<Result>(id: string, wait: () => Promise<Result>): Promise<Result> {
    if (!this.has(id)) return wait();
    this.#leave(id);
    try {
      return await wait();
    } finally {
      this.#enter(id);
    }
  }

  /** Runs work on several at once. */
  runAll<Result>(ids: readonly string[], work: () => Promise<Result>): Promise<Result> {
    return ids.reduce<() => Promise<Result>>((inner, id) => () => this.run(id, inner), work)();
  }

  /** Collects every sandbox that is being changed at any moment until the observation is closed. */
  observe(): { has(id: string): boolean } & Disposable {
    const seen = new Set(this.#running.keys());
    this.#observations.add(seen);
    return {
      has: (id) => seen.has(id),
      [Symbol.dispose]: () => {
        this.#observations.delete(seen);
      },
    };
  }

  #enter(id: string): void {
    this.#running.set(id, (this.#running.get(id) ?? 0) + 1);
    for (const seen of this.#observations) seen.add(id);
  }

  #leave(id: string): void {
    const left = (this.#running.get(id) ?? 1) - 1;
    if (left === 0) this.#running.delete(id);
    else this.#running.set(id, left);
  }

  /** Whether a sandbox is being changed right now. */
  has(id: string): boolean {
    return this.#running.has(id);
  }
}
