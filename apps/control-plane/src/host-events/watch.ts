import { setTimeout as wait } from 'node:timers/promises';
import { fromUnknown } from '@dormouse/errors';
import type { HostEvent } from '@dormouse/host-api';
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
 * is there (again). Every message of the host, which it sends without events as well, is a sign of life. A connection
 * that is lost or silent is made anew; nothing is missed, because the host keeps what is not acknowledged.
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
  const over = new AbortController();
  const signal = AbortSignal.any([stop, over.signal]);
  let patience = setTimeout(() => over.abort(), SILENCE_MS);
  let failure: unknown;
  // Beside the stream: the host is heard while what it has told is being recorded, however long that takes.
  let recording = Promise.resolve();
  const record = (events: readonly HostEvent[], ring: boolean): void => {
    recording = recording
      .then(() => recordEvents(services, hostId, events))
      .then(() => {
        if (ring) bell.ring();
      });
    recording.catch((error: unknown) => {
      failure ??= error;
      over.abort();
    });
  };
  try {
    let isFirst = true;
    for await (const { events } of hostStream(services.host.watchEvents({}, { signal }))) {
      clearTimeout(patience);
      patience = setTimeout(() => over.abort(), SILENCE_MS);
      await services.store.system.seeHost(hostId);
      if (isFirst) onConnected();
      record(events, isFirst || events.length > 0);
      isFirst = false;
    }
    await recording;
  } catch (thrown) {
    throw failure ?? thrown;
  } finally {
    clearTimeout(patience);
    over.abort();
    await recording.catch(() => undefined);
  }
}
