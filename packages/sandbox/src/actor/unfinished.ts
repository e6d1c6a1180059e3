import { fromUnknown } from '@dormouse/errors';
import type { SandboxLog } from '../config/sandbox-log.js';

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;

interface Item {
  readonly what: string;
  readonly step: () => Promise<void>;
}

/**
 * Steps that have to succeed in the end, because what came before them cannot be taken back: a pause that is durable
 * goes forward, a freeze that failed goes back. A step that fails (full disk, I/O error) is tried again, with longer
 * and longer pauses, until it succeeds or the sandbox is removed.
 *
 * Steps run in the sandbox's turn only: `retry` asks for a turn, which calls {@link attempt}.
 */
export class Unfinished {
  readonly #log: SandboxLog;
  readonly #retry: () => void;
  readonly #firstPauseMs: number;
  readonly #items: Item[] = [];
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param retry asks for the sandbox's turn, in which `attempt` is called
   * @param firstPauseMs before the first repetition, default 1,000; doubles up to a minute
   */
  constructor(log: SandboxLog, retry: () => void, firstPauseMs: number = FIRST_PAUSE_MS) {
    this.#log = log;
    this.#retry = retry;
    this.#firstPauseMs = firstPauseMs;
  }

  /** The first step that is not finished, for messages; undefined when all are. */
  get what(): string | undefined {
    return this.#items[0]?.what;
  }

  /**
   * Runs a step now, and again later when it fails. A step that waits under the same name is replaced. Answers whether
   * it has succeeded.
   */
  async insist(what: string, step: () => Promise<void>): Promise<boolean> {
    this.drop(what);
    const item = { what, step };
    this.#items.push(item);
    return (await this.#try(item)) === undefined;
  }

  /** Tries everything again that has not succeeded yet. Never rejects. */
  async attempt(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const item of [...this.#items]) if (this.#items.includes(item)) await this.#try(item);
  }

  /** A step is not needed any more. */
  drop(what: string): void {
    const index = this.#items.findIndex((item) => item.what === what);
    if (index >= 0) this.#items.splice(index, 1);
  }

  /** Nothing is needed any more. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#items.length = 0;
  }

  async #try(item: Item): Promise<unknown> {
    try {
      await item.step();
      const index = this.#items.indexOf(item);
      if (index >= 0) this.#items.splice(index, 1);
      if (this.#items.length === 0) this.#failures = 0;
      return undefined;
    } catch (error) {
      this.#log.warn({ err: fromUnknown(error) }, `could not ${item.what}; trying again`);
      if (this.#items.includes(item)) this.#later();
      return error;
    }
  }

  #later(): void {
    if (this.#timer !== undefined) return;
    const pauseMs = Math.min(LONGEST_PAUSE_MS, this.#firstPauseMs * 2 ** this.#failures);
    this.#failures += 1;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#retry();
    }, pauseMs).unref();
  }
}
