import type { Store } from '@dormouse/store';

/** Stands for every team among the ids of teams, none of which is empty. */
const ALL_TEAMS = '';

/** Wakes streams when there is something new for their team. What it is they look up themselves. */
export class EventFeed {
  readonly #waiting = new Map<string, Set<() => void>>();
  readonly #closing = new AbortController();

  /** Fires when no stream may go on. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** Follows the events of all control planes until closed. */
  run(store: Store): Promise<void> {
    return store.listen((teamId) => this.wake(teamId), this.#closing.signal);
  }

  /** @param teamId undefined: anything may have happened to anybody */
  wake(teamId: string | undefined): void {
    const some = teamId === undefined ? [...this.#waiting.keys()] : [teamId, ALL_TEAMS];
    const woken = some.map((id) => this.#waiting.get(id) ?? []);
    for (const wake of woken.flatMap((set) => [...set])) wake();
  }

  /**
   * Begins to listen for a team before somebody looks, so that nothing falls between: `news` resolves when there was
   * something since, when the time is over, or when the signal fires.
   */
  listen(teamId: string): { news(timeoutMs: number, signal: AbortSignal): Promise<void> } & Disposable {
    let isNew = false;
    let notify: (() => void) | undefined;
    const wake = (): void => {
      isNew = true;
      notify?.();
    };
    const set = this.#waiting.get(teamId) ?? new Set();
    this.#waiting.set(teamId, set.add(wake));
    return {
      news: async (timeoutMs, signal) => {
        if (!isNew && !signal.aborted) {
          await new Promise<void>((resolve) => {
            const done = (): void => {
              clearTimeout(timer);
              signal.removeEventListener('abort', done);
              notify = undefined;
              resolve();
            };
            const timer = setTimeout(done, timeoutMs);
            signal.addEventListener('abort', done);
            notify = done;
          });
        }
        isNew = false;
      },
      [Symbol.dispose]: () => {
        set.delete(wake);
        if (set.size === 0) this.#waiting.delete(teamId);
      },
    };
  }

  /** The same for all teams together. */
  listenToAll(): ReturnType<EventFeed['listen']> {
    return this.listen(ALL_TEAMS);
  }

  close(): void {
    this.#closing.abort();
  }
}
