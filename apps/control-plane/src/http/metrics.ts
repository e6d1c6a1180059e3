import type { Store } from '@dormouse/store';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** Seconds; from a health check to a long exec. */
const DURATION_BUCKETS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300];

/** What /metrics shows. */
export interface ControlPlaneMetrics {
  readonly registry: Registry;
  readonly httpDuration: Histogram<'method' | 'route' | 'status'>;
  readonly reconciled: Counter<'action'>;
  readonly hostEvents: Counter<'type'>;
  readonly hostEventDelay: Histogram;
  readonly eventStreams: Gauge;
  readonly quotaRefusals: Counter;
  readonly webhookDeliveries: Counter<'state'>;
  readonly webhookAttempts: Histogram<'outcome'>;
}

/** A registry of its own, so that two control planes in one process do not mix. */
export function createMetrics(store: Store): ControlPlaneMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const httpDuration = new Histogram({
    name: 'dormouse_http_request_duration_seconds',
    help: 'Time from request to the head of its answer',
    labelNames: ['method', 'route', 'status'] as const,
    buckets: DURATION_BUCKETS,
    registers: [registry],
  });
  const reconciled = new Counter({
    name: 'dormouse_reconciler_actions_total',
    help: 'Differences between database and host that were put right',
    labelNames: ['action'] as const,
    registers: [registry],
  });
  new Gauge({
    name: 'dormouse_sandboxes',
    help: 'Sandboxes by state',
    labelNames: ['state'] as const,
    registers: [registry],
    async collect() {
      for (const [state, count] of Object.entries(await store.system.countSandboxes())) {
        this.set({ state }, count);
      }
    },
  });
  const hostEvents = new Counter({
    name: 'dormouse_host_events_total',
    help: 'What hosts have done with sandboxes by themselves, by type of the event',
    labelNames: ['type'] as const,
    registers: [registry],
  });
  const hostEventDelay = new Histogram({
    name: 'dormouse_host_event_delay_seconds',
    help: 'From what a host did by itself to its being recorded',
    buckets: DURATION_BUCKETS,
    registers: [registry],
  });
  const eventStreams = new Gauge({
    name: 'dormouse_event_streams',
    help: 'Live streams of events that are open',
    registers: [registry],
  });
  const quotaRefusals = new Counter({
    name: 'dormouse_quota_refusals_total',
    help: 'Requests refused because a team has as much as it may have',
    registers: [registry],
  });
  new Gauge({
    name: 'dormouse_hosts',
    help: 'Hosts by whether they answer',
    labelNames: ['state'] as const,
    registers: [registry],
    async collect() {
      for (const [state, count] of Object.entries(await store.system.countHosts()))
        this.set({ state }, count);
    },
  });
  const webhookDeliveries = new Counter({
    name: 'dormouse_webhook_deliveries_total',
    help: 'Events that receivers have taken, or that were given up',
    labelNames: ['state'] as const,
    registers: [registry],
  });
  const webhookAttempts = new Histogram({
    name: 'dormouse_webhook_attempt_duration_seconds',
    help: 'Attempts to deliver an event, by whether its receiver took it',
    labelNames: ['outcome'] as const,
    buckets: DURATION_BUCKETS,
    registers: [registry],
  });
  new Gauge({
    name: 'dormouse_webhook_deliveries_pending',
    help: 'Events that receivers have not taken yet',
    registers: [registry],
    async collect() {
      this.set(await store.system.webhooks.countPending());
    },
  });
  return {
    registry,
    httpDuration,
    reconciled,
    hostEvents,
    hostEventDelay,
    eventStreams,
    quotaRefusals,
    webhookDeliveries,
    webhookAttempts,
  };
}
