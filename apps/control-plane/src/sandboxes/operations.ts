interface Operation {
  readonly key: string;
  readonly result: Promise<unknown>;
}

/**
 * What changes the lives of sandboxes, one after the other for each of them. An operation that is equal to the last
 * one waiting or running joins it and shares its result.
 *
 * This is for order and economy within one process. Between processes rows move by compare-and-swap.
 */
export class Operations {
  readonly #last = new Map<string, Operation>();

  /**
   * @param id of the sandbox
   * @param key the same for operations that ask for the same
   */
  run<Result>(id: string, key: string, work: () => Promise<Result>): Promise<Result> {
    const last = this.#last.get(id);
    if (last?.key === key) return last.result as Promise<Result>;
    const result = last === undefined ? work() : last.result.then(work, work);
    const operation = { key, result };
    this.#last.set(id, operation);
    const forget = (): void => {
      if (this.#last.get(id) === operation) this.#last.delete(id);
    };
    result.then(forget, forget);
    return result;
  }
}
