import { LATENCY_BOUNDS_US, type Served } from '@dormouse/sandbox';
import type { Metric, Registry } from 'prom-client';

const NAME = 'dormouse_host_page_request_duration_seconds';
const HELP = 'From a page request of a guest that wakes until the kernel had taken the answer';
const US_PER_SECOND = 1_000_000;

/**
 * How long guests that woke have waited for pages. The waits are counted where pages are served, in processes of their
 * own, so this adds up whole histograms, which prom-client's own does not take.
 */
export class PageRequestHistogram {
  readonly #counts = new Array<number>(LATENCY_BOUNDS_US.length + 1).fill(0);
  #sumUs = 0;

  constructor(registry: Registry) {
    const metric = { name: NAME, help: HELP, get: async () => this.#exposed(), reset: () => this.#reset() };
    registry.registerMetric(metric as unknown as Metric);
  }

  /** Adds the requests of one restore. */
  add({ counts, sum }: Served['requestLatencyUs']): void {
    for (const [index, count] of counts.entries()) this.#counts[index]! += count;
    this.#sumUs += sum;
  }

  #exposed() {
    let below = 0;
    const buckets = this.#counts.map((count, index) => {
      below += count;
      const boundUs = LATENCY_BOUNDS_US[index];
      const le = boundUs === undefined ? '+Inf' : boundUs / US_PER_SECOND;
      return { labels: { le }, value: below, metricName: `${NAME}_bucket` };
    });
    const values = [
      ...buckets,
      { labels: {}, value: this.#sumUs / US_PER_SECOND, metricName: `${NAME}_sum` },
      { labels: {}, value: below, metricName: `${NAME}_count` },
    ];
    return { name: NAME, help: HELP, type: 'histogram', values, aggregator: 'sum' };
  }

  #reset(): void {
    this.#counts.fill(0);
    this.#sumUs = 0;
  }
}
