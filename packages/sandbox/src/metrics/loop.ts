import { fromUnknown } from '@dormouse/errors';
import { limited } from '../concurrency/limited.js';
import type { SandboxLog } from '../config/sandbox-log.js';
import { type Clock, SYSTEM_CLOCK } from '../expiry/activity.js';
import { measure } from './point.js';
import type { Measured } from './read.js';

/** Side by side: each is a message to a guest and its answer. */
const PARALLEL_SAMPLES = 8;
/** A guest that does not answer is left alone for a while, so that it takes nobody's turn. */
const PAUSE_AFTER_FAILURE_MS = 60_000;

/** Somebody who is measured from time to time. */
export interface Sampled extends Measured {
  readonly id: string;
  /** It runs, and all of its memory is there: whoever looks makes no work. */
  readonly isSettled: boolean;
}

/** What the loop works with. */
export interface MetricsLoopOptions {
  readonly list: () => readonly Sampled[];
  readonly log: SandboxLog;
  /** From one point to the next, in milliseconds. 0: nothing is measured. */
  readonly everyMs: number;
  /** Default: the system's. */
  readonly clock?: Clock;
}

/** Measures every running sandbox at a fixed interval. */
export class MetricsLoop {
  readonly #options: MetricsLoopOptions;
  readonly #clock: Clock;
  /** When those that did not answer were asked last. */
  readonly #failedAtMs = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> | undefined;

  constructor(options: MetricsLoopOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
  }

  start(): void {
    const { everyMs } = this.#options;
    if (everyMs > 0) this.#timer ??= setInterval(() => void this.tick(), everyMs);
  }

  /** Measures once around, unless the last round is not over. Never rejects. */
  tick(): Promise<void> {
    this.#round ??= this.#sampleAll().finally(() => {
      this.#round = undefined;
    });
    return this.#round;
  }

  /** Measures nothing more, and resolves when nothing is being measured. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#round;
  }

  async #sampleAll(): Promise<void> {
    const sandboxes = this.#options.list();
    const present = new Set(sandboxes.map(({ id }) => id));
    for (const id of this.#failedAtMs.keys()) if (!present.has(id)) this.#failedAtMs.delete(id);
    const due = sandboxes.filter((sandbox) => sandbox.isSettled && this.#isPatient(sandbox.id));
    await limited(PARALLEL_SAMPLES, due, (sandbox) => this.#sample(sandbox));
  }

  #isPatient(id: string): boolean {
    const failedAtMs = this.#failedAtMs.get(id);
    return failedAtMs === undefined || this.#clock.monotonicMs() - failedAtMs >= PAUSE_AFTER_FAILURE_MS;
  }

  async #sample(sandbox: Sampled): Promise<void> {
    const { id } = sandbox;
    // Its turn may come late.
    if (!sandbox.isSettled) return;
    try {
      await sandbox.metrics.append(await measure(sandbox));
      this.#failedAtMs.delete(id);
    } catch (error) {
      // Who is paused or removed in the middle is no failure.
      if (!sandbox.isSettled) return;
      if (!this.#failedAtMs.has(id)) {
        this.#options.log.warn({ sandboxId: id, err: fromUnknown(error) }, 'the sandbox was not measured');
      }
      this.#failedAtMs.set(id, this.#clock.monotonicMs());
    }
  }
}
