import { setTimeout as wait } from 'node:timers/promises';
import { fromUnknown } from '@dormouse/errors';
import type { Services } from '../context.js';
import type { Bell } from '../flow/bell.js';
import { hostStream } from '../host-call.js';
import { registerHost } from '../host-registration.js';
import { recordEvents } from './record.js';

const RECONNECT_MS = 500;
/** The host says something every five seconds, whether anything has happened or not. */
const SILENCE_MS = 15_000;

/**
 * Follows what a host does by itself until stopped, and rings for the reconciler at every event and whenever the host
 * is there (again). A connection that is lost or silent is made anew; nothing is missed, because the host keeps what
 * is not acknowledged.
 */
export async function watchHost(services: Services, bell: Bell, stop: AbortSignal): Promise<void> {
  let failing = false;
  while (!stop.aborted) {
    try {
      await watchOnce(services, bell, stop, () => {
        if (failing) services.log.info('following the host again');
        failing = false;
      });
    } catch (thrown) {
      if (stop.aborted) return;
      const { code, message } = fromUnknown(thrown);
      services.log[failing ? 'debug' : 'warn']({ code, reason: message }, 'cannot follow the host');
      failing = true;
    }
    await wait(RECONNECT_MS, undefined, { signal: stop }).catch(() => undefined);
  }
}

async function watchOnce(
  services: Services,
  bell: Bell,
  stop: AbortSignal,
  onConnected: () => void,
): Promise<void> {
  const hostId = await registerHost(services);
  const silence = new AbortController();
  const signal = AbortSignal.any([stop, silence.signal]);
  let patience = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    let isFirst = true;
    for await (const { events } of hostStream(services.host.watchEvents({}, { signal }))) {
      clearTimeout(patience);
      patience = setTimeout(() => silence.abort(), SILENCE_MS);
      await recordEvents(services, hostId, events);
      if (isFirst) onConnected();
      if (isFirst || events.length > 0) bell.ring();
      isFirst = false;
    }
  } finally {
    clearTimeout(patience);
    silence.abort();
  }
}
