import type { Stack } from '@dormouse/e2e';
import type { Accelerator } from '@dormouse/sandbox';
import type { Sandbox } from '@dormouse/sdk';

/** One measured row. */
export interface Figure {
  readonly name: string;
  readonly unit: 'ms' | 'µs' | 'MB/s' | 'MiB' | 'KiB' | '×' | 's' | 'sandboxes' | '% of a core';
  readonly median: number;
  readonly p95?: number;
  /** Number of measurements. */
  readonly count: number;
  /** The same work without the part that is judged, measured in the same run. */
  readonly baseline?: { readonly what: string; readonly median: number };
  /** What it should be, in words, and whether it is. */
  readonly target?: { readonly text: string; readonly met: boolean };
  /** Figure over baseline; for throughput the share of the baseline that is reached. */
  readonly ratio?: number;
}

/** What measurements work with. */
export interface Bench {
  readonly stack: Stack;
  /** A sandbox that has been used already. */
  readonly warm: Sandbox;
  /** What runs guest code: targets of throughput differ. */
  readonly accelerator: Accelerator;
  /** Fewer repetitions, for a quick look. */
  readonly quick: boolean;
  progress(what: string): void;
}

/** Runs `task` and answers how long it took, in milliseconds. */
export async function timed<T>(task: () => Promise<T>): Promise<{ readonly ms: number; readonly value: T }> {
  const start = performance.now();
  const value = await task();
  return { ms: performance.now() - start, value };
}

/** Runs `task` `count` times, one after another, and answers the durations in milliseconds. */
export async function repeat(
  count: number,
  task: (index: number) => Promise<unknown>,
): Promise<readonly number[]> {
  const durations: number[] = [];
  for (let index = 0; index < count; index++) durations.push((await timed(() => task(index))).ms);
  return durations;
}
