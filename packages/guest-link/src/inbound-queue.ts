import type { DormouseError } from '@dormouse/errors';

/** What waits in a queue, with the credit it used up. */
interface Waiting<T> {
  readonly item: T;
  cost: number;
}

interface Taker<T> {
  readonly resolve: (result: IteratorResult<T, undefined>) => void;
  readonly reject: (error: DormouseError) => void;
}

/** How a queue tells its stream, and puts small items together. */
export interface InboundQueueOptions<T> {
  /** Called with an item's cost once the consumer has it (or it was thrown away). */
  readonly taken: (cost: number) => void;
  /** Puts `next` into `last`, which nobody has taken yet; false when it stays an item of its own. */
  readonly merge?: (last: T, next: T) => boolean;
}

/**
 * What the guest has sent and the consumer has not taken. It has no limit of its own: the stream's credit bounds what
 * can be in it, and credit is given back only as items are taken.
 */
export class InboundQueue<T> {
  readonly #options: InboundQueueOptions<T>;
  readonly #waiting: Waiting<T>[] = [];
  readonly #takers: Taker<T>[] = [];
  #ended = false;
  #abandoned = false;
  #error: DormouseError | undefined;

  constructor(options: InboundQueueOptions<T>) {
    this.#options = options;
  }

  /** @param cost credit the item used up */
  push(item: T, cost: number): void {
    if (this.#ended || this.#abandoned) {
      this.#options.taken(cost);
      return;
    }
    const taker = this.#takers.shift();
    if (taker !== undefined) {
      this.#options.taken(cost);
      taker.resolve({ done: false, value: item });
      return;
    }
    const last = this.#waiting.at(-1);
    if (last !== undefined && this.#options.merge?.(last.item, item) === true) last.cost += cost;
    else this.#waiting.push({ item, cost });
  }

  /** Nothing more comes; what waits can still be taken. An error is thrown after it, to each taker from then on. */
  finish(error?: DormouseError): void {
    if (this.#ended || this.#abandoned) return;
    this.#ended = true;
    this.#error = error;
    for (const taker of this.#takers.splice(0)) this.#settle(taker);
  }

  /** Throws away what waits and whatever comes, giving the credit back, so that the sender can go on. */
  abandon(): void {
    if (this.#abandoned) return;
    this.#abandoned = true;
    this.#error = undefined;
    for (const { cost } of this.#waiting.splice(0)) this.#options.taken(cost);
    for (const taker of this.#takers.splice(0)) this.#settle(taker);
  }

  /** The next item, `done` after the last one. */
  next(): Promise<IteratorResult<T, undefined>> {
    return new Promise((resolve, reject) => {
      const taker = { resolve, reject };
      const waiting = this.#waiting.shift();
      if (waiting !== undefined) {
        this.#options.taken(waiting.cost);
        resolve({ done: false, value: waiting.item });
      } else if (this.#ended || this.#abandoned) {
        this.#settle(taker);
      } else {
        this.#takers.push(taker);
      }
    });
  }

  #settle(taker: Taker<T>): void {
    if (this.#error === undefined) taker.resolve({ done: true, value: undefined });
    else taker.reject(this.#error);
  }
}
