import type { MetricsHistory, TimeRange } from './history.js';
import { type MetricsPoint, measure, type Observable } from './point.js';

/** Somebody of whom figures are kept. */
export interface Measured extends Observable {
  readonly isRunning: boolean;
  readonly metrics: MetricsHistory;
}

/**
 * What a sandbox was doing, oldest first: what is kept of it, and the present moment when that is in range and it runs.
 * A guest that does not answer has no present moment.
 */
export async function readMetrics(sandbox: Measured, range: TimeRange): Promise<readonly MetricsPoint[]> {
  const isPresentWanted = sandbox.isRunning && range.fromMs <= Date.now() && Date.now() <= range.toMs;
  const present = isPresentWanted ? await measure(sandbox).catch(() => undefined) : undefined;
  const kept = await sandbox.metrics.read(range);
  return present === undefined ? kept : [...kept, present];
}
