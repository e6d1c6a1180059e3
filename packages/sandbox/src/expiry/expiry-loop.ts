import { fromUnknown } from '@dormouse/errors';
import type { SandboxLog } from '../config/sandbox-log.js';
import { type Clock, SYSTEM_CLOCK } from './activity.js';
import { decideExpiry, type ExpiryDecision, type ExpiryView } from './expiry.js';

const TICK_MS = 1_000;
/** A pause is work for disk and CPU: more side by side only wait for each other. */
const PARALLEL_EXPIRIES = 4;

/** A sandbox that may time out. */
export interface Expirable {
  readonly id: string;
  readonly expiry: Omit<ExpiryView, 'failed'>;
}

/** What the loop does with sandboxes. */
export interface ExpiryEffects {
  readonly list: () => readonly Expirable[];
  /** Pauses or removes a sandbox, unless `isDue` says no when its turn comes. Whether it did. */
  readonly expire: (id: string, isDue: () => boolean) => Promise<boolean>;
  /** Tells that it could not be done. The sandbox runs on. */
  readonly onFailed: (id: string, error: Error) => Promise<void>;
  readonly log: SandboxLog;
  /** Default: the system's. */
  readonly clock?: Clock;
}

/** Looks every second whose time has passed. */
export class ExpiryLoop {
  readonly #effects: ExpiryEffects;
  readonly #clock: Clock;
  readonly #running = new Map<string, Promise<void>>();
  readonly #failed = new Map<string, { readonly attempts: number; readonly atMs: number }>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(effects: ExpiryEffects) {
    this.#effects = effects;
    this.#clock = effects.clock ?? SYSTEM_CLOCK;
  }

  start(): void {
    if (this.#closed) return;
    this.#timer ??= setInterval(() => this.tick(), TICK_MS);
  }

  /** Begins what is due, as far as there is room for it; the longest overdue first. */
  tick(): void {
    if (this.#closed) return;
    const sandboxes = this.#effects.list();
    this.#forgetOthers(sandboxes);
    const due = sandboxes
      .filter((sandbox) => !this.#running.has(sandbox.id) && this.#decide(sandbox) !== 'wait')
      .toSorted((one, other) => dueAtMs(one) - dueAtMs(other));
    for (const sandbox of due.slice(0, PARALLEL_EXPIRIES - this.#running.size)) this.#begin(sandbox);
  }

  /** Begins nothing more, and resolves when what has begun is finished or rolled back. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await Promise.all(this.#running.values());
  }

  #begin(sandbox: Expirable): void {
    const { id } = sandbox;
    const running = this.#expire(sandbox)
      .catch((error: unknown) =>
        this.#effects.log.warn(
          { sandboxId: id, err: fromUnknown(error) },
          'telling of a failed pause failed',
        ),
      )
      .finally(() => this.#running.delete(id));
    this.#running.set(id, running);
  }

  async #expire(sandbox: Expirable): Promise<void> {
    const { id } = sandbox;
    const { expire, onFailed } = this.#effects;
    try {
      await expire(id, () => this.#decide(sandbox) !== 'wait');
      this.#failed.delete(id);
    } catch (thrown) {
      const attempts = (this.#failed.get(id)?.attempts ?? 0) + 1;
      this.#failed.set(id, { attempts, atMs: this.#clock.monotonicMs() });
      await onFailed(id, fromUnknown(thrown));
    }
  }

  #decide(sandbox: Expirable): ExpiryDecision {
    const view = { ...sandbox.expiry, failed: this.#failed.get(sandbox.id) };
    return decideExpiry(view, this.#clock.monotonicMs());
  }

  /** Failures belong to one stretch of disuse, and to sandboxes that are still there. */
  #forgetOthers(sandboxes: readonly Expirable[]): void {
    const byId = new Map(sandboxes.map((sandbox) => [sandbox.id, sandbox]));
    for (const [id, { atMs }] of this.#failed) {
      const sandbox = byId.get(id);
      if (sandbox === undefined || sandbox.expiry.lastActiveMs > atMs) this.#failed.delete(id);
    }
  }
}

function dueAtMs({ expiry }: Expirable): number {
  return expiry.lastActiveMs + expiry.policy.timeoutSec * 1_000;
}
