import { PageBatch } from './page-batch.js';

interface Waiter {
  readonly resolve: (batch: PageBatch) => void;
  readonly reject: (error: unknown) => void;
}

/** A fixed number of batches, which bounds what can be on its way at once. */
export class BatchPool {
  readonly #free: PageBatch[];
  readonly #waiting: Waiter[] = [];
  #closed: { readonly error: unknown } | undefined;

  constructor(batches: number, sectionId: number, capacity: number) {
    this.#free = Array.from({ length: batches }, () => new PageBatch(sectionId, capacity));
  }

  /** An empty batch, or undefined while all are on their way. */
  take(): PageBatch | undefined {
    return this.#free.pop();
  }

  /** An empty batch, as soon as there is one. */
  async next(): Promise<PageBatch> {
    if (this.#closed !== undefined) throw this.#closed.error;
    return this.#free.pop() ?? new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Takes a batch back whose bytes are gone. */
  give(batch: PageBatch): void {
    batch.reset();
    const waiter = this.#waiting.shift();
    if (waiter === undefined) this.#free.push(batch);
    else waiter.resolve(batch);
  }

  /** Ends every wait, now and later, with an error. */
  close(error: unknown): void {
    this.#closed = { error };
    for (const waiter of this.#waiting.splice(0)) waiter.reject(error);
  }
}
