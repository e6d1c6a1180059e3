import { processMemory } from './processes.js';

const INTERVAL_MS = 100;

/** Watches how far processes grow while something happens. */
export class MemoryWatch implements Disposable {
  readonly #idle = new Map<string, number>();
  readonly #peak = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;
  #failure: unknown;

  private constructor(pids: Readonly<Record<string, number>>, idle: ReadonlyMap<string, number>) {
    this.#idle = new Map(idle);
    this.#peak = new Map(idle);
    const sample = async (): Promise<void> => {
      for (const [name, pid] of Object.entries(pids)) {
        const { rssBytes } = await processMemory(pid);
        this.#peak.set(name, Math.max(rssBytes, this.#peak.get(name) ?? 0));
      }
    };
    this.#timer = setInterval(() => {
      sample().catch((error: unknown) => {
        this.#failure = error;
      });
    }, INTERVAL_MS);
  }

  /** @param pids what to watch, by name; what they have now counts as idle */
  static async start(pids: Readonly<Record<string, number>>): Promise<MemoryWatch> {
    const idle = new Map<string, number>();
    for (const [name, pid] of Object.entries(pids)) idle.set(name, (await processMemory(pid)).rssBytes);
    return new MemoryWatch(pids, idle);
  }

  /** Most bytes of resident memory that each had beyond its idle value. A process that ended is an error. */
  growth(): Readonly<Record<string, number>> {
    if (this.#failure !== undefined) throw this.#failure;
    return Object.fromEntries(
      [...this.#peak].map(([name, peak]) => [name, peak - (this.#idle.get(name) ?? 0)]),
    );
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
