import { setTimeout as wait } from 'node:timers/promises';

/** How many at once, and until when. */
export interface Bounds {
  readonly atOnce: number;
  /** After so many milliseconds nothing more is begun, and what is under way is not waited for any longer. */
  readonly forMs: number;
}

/**
 * Does work for each item, a few at a time, until the time is over.
 *
 * @param work must not reject, and must end by itself: what is under way when the time is over goes on alone
 * @returns how many items were left, because the time was over
 */
export async function eachAtMost<Item>(
  items: readonly Item[],
  { atOnce, forMs }: Bounds,
  work: (item: Item) => Promise<void>,
): Promise<number> {
  const until = performance.now() + forMs;
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length && performance.now() < until) {
      const item = items[next] as Item;
      next += 1;
      await work(item);
    }
  };
  const patience = new AbortController();
  await Promise.race([
    Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker)),
    wait(forMs, undefined, { signal: patience.signal }).catch(() => undefined),
  ]);
  patience.abort();
  return items.length - next;
}

/** The same items in another order, so that none that takes long is in front of the same others every time. */
export function shuffled<Item>(items: Iterable<Item>): Item[] {
  const all = [...items];
  for (let last = all.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1));
    [all[last], all[other]] = [all[other] as Item, all[last] as Item];
  }
  return all;
}
