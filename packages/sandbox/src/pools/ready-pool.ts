import { setTimeout as delay } from 'node:timers/promises';
import type { Pin } from '@dormouse/snapshot';
import type { SandboxSpec } from '../config/sandbox-spec.js';
import type { StartedVm } from '../vm/live-vm.js';

/** After somebody took one its guest has the host's processors for so long, before the next is made. */
const REFILL_PAUSE_MS = 1_000;

/** What waiting sandboxes have in common. */
export interface ReadyKind {
  readonly spec: SandboxSpec;
  /** The frozen template they were restored from. */
  readonly generationId: string;
}

/** A restored, warm guest whose programs stand still. */
export interface ReadyVm {
  readonly kind: ReadyKind;
  readonly started: StartedVm;
  /** Keeps its generation, until somebody's journal does. */
  readonly pin: Pin;
}

interface Waiting {
  readonly ready: ReadyVm;
  isOver: boolean;
}

/** How the pool makes and ends what waits. */
export interface ReadyPoolOptions {
  /** How many wait. */
  readonly size: number;
  /** @throws when there is none to be had now; it is asked again the next time one is wanted */
  readonly make: (kind: ReadyKind, signal: AbortSignal) => Promise<ReadyVm>;
  readonly end: (ready: ReadyVm) => Promise<void>;
  /** Receives what has kept a guest that is not needed from being ended. Default: it is dropped. */
  readonly onProblem?: (error: unknown) => void;
  /** Default 1 s. */
  readonly refillPauseMs?: number;
}

/**
 * Sandboxes of a template that wait for somebody to want one: restored, all memory there, what a first command needs
 * translated and cached, every program standing still. Each is a life of its own, with randomness nobody else has, and
 * is given name, environment and fresh randomness again before it runs for its owner.
 */
export class ReadyPool {
  readonly #options: ReadyPoolOptions;
  readonly #waiting: Waiting[] = [];
  readonly #closing = new AbortController();
  #wanted: ReadyKind | undefined;
  #filling: Promise<void> | undefined;

  constructor(options: ReadyPoolOptions) {
    this.#options = options;
  }

  /** How many wait. */
  get count(): number {
    return this.#waiting.length;
  }

  /** Memory that those that wait are promised, in MiB. */
  get memoryMb(): number {
    return this.#waiting.reduce((sum, { ready }) => sum + ready.kind.spec.memoryMb, 0);
  }

  /** One that fits, which is the caller's from then on; undefined when none waits. Another is made a little later. */
  take(kind: ReadyKind): ReadyVm | undefined {
    const index = this.#waiting.findIndex((one) => !one.isOver && keyOf(one.ready.kind) === keyOf(kind));
    const [found] = index < 0 ? [] : this.#waiting.splice(index, 1);
    void this.refill(kind, this.#options.refillPauseMs ?? REFILL_PAUSE_MS);
    return found?.ready;
  }

  /** Has as many wait as shall, of this kind. Others go. Never rejects. */
  refill(kind: ReadyKind, pauseMs = 0): Promise<void> {
    this.#wanted = kind;
    this.#filling ??= this.#fill(pauseMs).finally(() => {
      this.#filling = undefined;
    });
    return this.#filling;
  }

  /** Ends those that wait: their memory is needed. */
  async drain(): Promise<void> {
    await Promise.all(this.#waiting.splice(0).map(({ ready }) => this.#endQuietly(ready)));
  }

  /** Ends all that waits, for good. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#filling;
    await this.drain();
  }

  async #fill(pauseMs: number): Promise<void> {
    const { signal } = this.#closing;
    if (this.#options.size === 0) return;
    await delay(pauseMs, undefined, { signal, ref: false }).catch(() => {});
    for (;;) {
      const kind = this.#wanted;
      if (signal.aborted || kind === undefined) return;
      for (const one of this.#waiting.filter(
        (each) => each.isOver || keyOf(each.ready.kind) !== keyOf(kind),
      )) {
        this.#waiting.splice(this.#waiting.indexOf(one), 1);
        await this.#endQuietly(one.ready);
      }
      if (this.#waiting.length >= this.#options.size) return;
      // What is wrong the next who wants one hears: it is restored for them.
      const ready = await this.#options.make(kind, signal).catch(() => undefined);
      if (ready === undefined) return;
      this.#put(ready);
    }
  }

  async #endQuietly(ready: ReadyVm): Promise<void> {
    const { end, onProblem } = this.#options;
    await end(ready).catch((error: unknown) => onProblem?.(error));
  }

  #put(ready: ReadyVm): void {
    const one: Waiting = { ready, isOver: false };
    const over = (): void => {
      one.isOver = true;
    };
    void ready.started.vm.exited.then(over);
    void ready.started.link.closed.then(over);
    this.#waiting.push(one);
  }
}

function keyOf({ spec, generationId }: ReadyKind): string {
  const { vcpus, memoryMb, internet, diskBytes, imageId, user } = spec;
  return [generationId, vcpus, memoryMb, internet, diskBytes, imageId, user].join();
}
