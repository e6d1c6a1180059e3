/** Wakes who waits for something to happen. A ring that nobody waits for is kept for the next who does. */
export class Bell {
  #rung = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** Resolves at a ring, when the time is over, or when the signal fires. Takes the ring. */
  async wait(timeoutMs: number, stop: AbortSignal): Promise<void> {
    if (!this.#rung) await this.#pause(timeoutMs, stop, true);
    this.#rung = false;
  }

  /** Lets some time pass; what rings meanwhile is one ring with the last. */
  async quiet(ms: number, stop: AbortSignal): Promise<void> {
    await this.#pause(ms, stop, false);
    this.#rung = false;
  }

  async #pause(ms: number, stop: AbortSignal, wakes: boolean): Promise<void> {
    if (stop.aborted) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        stop.removeEventListener('abort', done);
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(done, ms);
      stop.addEventListener('abort', done);
      if (wakes) this.#wake = done;
    });
  }
}
