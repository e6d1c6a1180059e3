/**
 * Consecutive runs of pages that cover 0 … pageCount − 1, in columns: a run begins at `starts[i]` and ends where the
 * next begins. `origins[i]` says where its content comes from; `packed[i]` is the packed index of its first page, for
 * origins that have one (0 for the others). Ten bytes a run, whatever it says.
 */
export interface RunTable {
  readonly pageCount: number;
  readonly starts: Uint32Array;
  readonly origins: Uint16Array;
  readonly packed: Uint32Array;
}

/** First page behind run `index`. */
export function runEnd(table: RunTable, index: number): number {
  return index + 1 < table.starts.length ? table.starts[index + 1]! : table.pageCount;
}

/** The run that holds `page`, which must be below `pageCount`: a binary search. */
export function findRun(table: RunTable, page: number): number {
  const { starts } = table;
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (starts[middle]! <= page) low = middle;
    else high = middle - 1;
  }
  return low;
}

const INITIAL_RUNS = 64;

/**
 * Collects runs from the first page to the last, joining those that say the same. Origins below `firstPacked` have no
 * packed index.
 */
export class RunTableBuilder {
  readonly #firstPacked: number;
  #starts = new Uint32Array(INITIAL_RUNS);
  #origins = new Uint16Array(INITIAL_RUNS);
  #packed = new Uint32Array(INITIAL_RUNS);
  #count = 0;
  #end = 0;

  constructor(firstPacked: number) {
    this.#firstPacked = firstPacked;
  }

  /** First page that has not been told about yet. */
  get end(): number {
    return this.#end;
  }

  append(length: number, origin: number, packed: number): void {
    if (length === 0) return;
    const start = this.#end;
    this.#end += length;
    if (this.#continues(start, origin, packed)) return;
    if (this.#count === this.#starts.length) this.#grow();
    this.#starts[this.#count] = start;
    this.#origins[this.#count] = origin;
    this.#packed[this.#count] = origin < this.#firstPacked ? 0 : packed;
    this.#count += 1;
  }

  build(): RunTable {
    return {
      pageCount: this.#end,
      starts: this.#starts.slice(0, this.#count),
      origins: this.#origins.slice(0, this.#count),
      packed: this.#packed.slice(0, this.#count),
    };
  }

  #continues(start: number, origin: number, packed: number): boolean {
    const last = this.#count - 1;
    if (last < 0 || this.#origins[last] !== origin) return false;
    return origin < this.#firstPacked || this.#packed[last]! + (start - this.#starts[last]!) === packed;
  }

  #grow(): void {
    const size = this.#starts.length * 2;
    const starts = new Uint32Array(size);
    starts.set(this.#starts);
    this.#starts = starts;
    const origins = new Uint16Array(size);
    origins.set(this.#origins);
    this.#origins = origins;
    const packed = new Uint32Array(size);
    packed.set(this.#packed);
    this.#packed = packed;
  }
}
