/** How full a queue gets before its source is asked to wait, and how empty before it may go on. */
const HIGH_WATER_BYTES = 1024 * 1024;
const LOW_WATER_BYTES = 256 * 1024;

/** What feeds a queue and can be made to wait. */
export interface PausableSource {
  pause(): void;
  resume(): void;
}

interface Waiting<Item> {
  readonly resolve: (result: IteratorResult<Item, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Items between an event source and one reader. The source is paused while too much is waiting, so what a
 * client sends ahead is bounded.
 */
export class MessageQueue<Item> implements AsyncIterableIterator<Item, undefined> {
  readonly #source: PausableSource;
  readonly #items: { readonly item: Item; readonly bytes: number }[] = [];
  #bytes = 0;
  #paused = false;
  #ended = false;
  #failure: { readonly error: unknown } | undefined;
  #waiting: Waiting<Item> | undefined;

  constructor(source: PausableSource) {
    this.#source = source;
  }

  /** Bytes that wait to be read. */
  get bytes(): number {
    return this.#bytes;
  }

  push(item: Item, bytes: number): void {
    if (this.#ended || this.#failure !== undefined) return;
    if (this.#waiting !== undefined) {
      this.#waiting.resolve({ done: false, value: item });
      this.#waiting = undefined;
      return;
    }
    this.#items.push({ item, bytes });
    this.#bytes += bytes;
    if (!this.#paused && this.#bytes > HIGH_WATER_BYTES) {
      this.#paused = true;
      this.#source.pause();
    }
  }

  /** No more will come; what is here is still handed out. */
  end(): void {
    this.#ended = true;
    if (this.#waiting !== undefined && this.#items.length === 0) {
      this.#waiting.resolve({ done: true, value: undefined });
      this.#waiting = undefined;
    }
  }

  /** The source broke: the reader is told after what came before. Means nothing after the end. */
  fail(error: unknown): void {
    if (this.#ended) return;
    this.#failure ??= { error };
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }

  next(): Promise<IteratorResult<Item, undefined>> {
    const first = this.#items.shift();
    if (first !== undefined) {
      this.#bytes -= first.bytes;
      if (this.#paused && this.#bytes < LOW_WATER_BYTES) {
        this.#paused = false;
        this.#source.resume();
      }
      return Promise.resolve({ done: false, value: first.item });
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
