import { fromUnknown } from '@dormouse/errors';
import type { SandboxLog } from '../config/sandbox-log.js';

/** Work that nobody waits for, until its host ends. */
export class Background {
  readonly #log: SandboxLog;
  readonly #running = new Set<Promise<void>>();
  readonly #closing = new AbortController();

  constructor(log: SandboxLog) {
    this.#log = log;
  }

  /** Aborted when the host ends. */
  get signal(): AbortSignal {
    return this.#closing.signal;
  }

  run(work: () => Promise<void>): void {
    const running = work()
      .catch((error: unknown) => {
        if (this.signal.aborted) return;
        this.#log.warn({ err: fromUnknown(error) }, 'work in the background failed');
      })
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Resolves when nothing is under way any more. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  /** Asks what is under way to end, and waits for it. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.settled();
  }
}
