import type { HostEvent } from '@dormouse/host-api';
import type { Services } from '../context.js';
import { HOST_CALL_TIMEOUT_MS, hostCall } from '../host-call.js';
import { fromHost } from './from-host.js';

/**
 * Records what a host has done by itself, with where it led, and then lets the host forget it. However often and by
 * however many control planes, every event is recorded once.
 */
export async function recordEvents(
  { store, host, log, metrics }: Services,
  hostId: string,
  events: readonly HostEvent[],
): Promise<void> {
  const last = events.at(-1);
  if (last === undefined) return;
  const known = events.flatMap((event) => fromHost(event) ?? []);
  const recorded = await store.system.events.record(hostId, known);
  for (const { type, sandboxId, reason, at } of recorded) {
    metrics.hostEvents.inc({ type });
    metrics.hostEventDelay.observe(Math.max(0, (Date.now() - at.getTime()) / 1_000));
    log.info({ sandboxId, type, reason }, 'the host has done something by itself');
  }
  await hostCall(host.acknowledgeEvents({ number: last.number }, { timeoutMs: HOST_CALL_TIMEOUT_MS }));
}

/** Records what nobody has acknowledged yet. */
export async function recordPending(services: Services, hostId: string): Promise<void> {
  const timeout = { timeoutMs: HOST_CALL_TIMEOUT_MS };
  const { events } = await hostCall(services.host.listEvents({}, timeout));
  await recordEvents(services, hostId, events);
}
