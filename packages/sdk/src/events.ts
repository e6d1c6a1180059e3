import { setTimeout as delay } from 'node:timers/promises';
import { EventList, Event as WireEvent } from '@dormouse/contracts';
import { fromUnknown } from '@dormouse/errors';
import { ApiError } from './api-error.js';
import { type CamelKeys, toCamelKeys } from './case.js';
import type { CallOptions } from './client-options.js';
import { eachItem } from './paging.js';
import { parseJson } from './parse-json.js';
import { serverSentEvents } from './server-sent-events.js';
import type { Transport } from './transport.js';

/** Something that happened to a sandbox or a snapshot. */
export type SandboxEvent = CamelKeys<WireEvent>;

/** Which events to follow. */
export interface FollowOptions extends CallOptions {
  /** Id of the last event that is known; `0`: from the first there is. Default: from now on. */
  readonly after?: string | undefined;
}

/** The server says something every fifteen seconds. */
const SILENCE_MS = 45_000;
/** How long a server may stay away before following it ends with an error. */
const RECONNECT_FOR_MS = 60_000;
const FIRST_DELAY_MS = 250;
const MAX_DELAY_MS = 5_000;

/** What happened to all sandboxes and snapshots of a team. */
export class Events {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** What has happened, newest first. */
  list(options: CallOptions = {}): AsyncGenerator<SandboxEvent, void, undefined> {
    return listEvents(this.#transport, '/v1/events', options);
  }

  /** What happens, as it happens, until `signal` fires or the loop is left. */
  follow(options: FollowOptions = {}): AsyncGenerator<SandboxEvent, void, undefined> {
    return followEvents(this.#transport, '/v1/events', options);
  }
}

/** What has happened, newest first. */
export function listEvents(
  transport: Transport,
  path: string,
  options: CallOptions,
): AsyncGenerator<SandboxEvent, void, undefined> {
  return eachItem(async (cursor) => {
    const page = await transport.json({ ...options, method: 'GET', path, query: { cursor } }, EventList);
    return { items: page.events.map(toCamelKeys), nextCursor: page.next_cursor };
  });
}

/**
 * What happens, as it happens. A connection that breaks is made again where it broke off, so nothing is missed and
 * nothing comes twice; ends when the sandbox is deleted, when `signal` fires or when the loop is left.
 *
 * @throws DormouseError when the server refuses, or stays away for a minute
 */
export async function* followEvents(
  transport: Transport,
  path: string,
  { after, signal, timeoutMs }: FollowOptions,
): AsyncGenerator<SandboxEvent, void, undefined> {
  let position = after ?? (await newest(transport, path, { signal, timeoutMs }));
  let brokenSinceMs: number | undefined;
  let delayMs = FIRST_DELAY_MS;
  for (;;) {
    const silence = new AbortController();
    const either = signal === undefined ? silence.signal : AbortSignal.any([signal, silence.signal]);
    let patience = setTimeout(() => silence.abort(), SILENCE_MS);
    try {
      const headers = { accept: 'text/event-stream', 'last-event-id': position };
      const bytes = await transport.stream({ signal: either, timeoutMs, method: 'GET', path, headers });
      const onSign = (): void => {
        brokenSinceMs = undefined;
        delayMs = FIRST_DELAY_MS;
        clearTimeout(patience);
        patience = setTimeout(() => silence.abort(), SILENCE_MS);
      };
      for await (const { id, data } of serverSentEvents(bytes, onSign)) {
        position = id ?? position;
        const event = toCamelKeys(WireEvent.parse(parseJson(data)));
        yield event;
        if (path !== '/v1/events' && event.type === 'sandbox.deleted') return;
      }
    } catch (thrown) {
      const error = fromUnknown(thrown);
      if (signal?.aborted) return;
      brokenSinceMs ??= performance.now();
      const isBusy = error instanceof ApiError && error.status >= 500;
      const canComeBack = error.code === 'unavailable' || isBusy || silence.signal.aborted;
      if (!canComeBack || performance.now() - brokenSinceMs > RECONNECT_FOR_MS) throw error;
    } finally {
      clearTimeout(patience);
      silence.abort();
    }
    await delay(delayMs, undefined, { signal }).catch(() => undefined);
    if (signal?.aborted) return;
    delayMs = Math.min(MAX_DELAY_MS, delayMs * 2);
  }
}

/** The id of the newest event there is: what comes after it comes from now on. */
async function newest(transport: Transport, path: string, options: CallOptions): Promise<string> {
  const request = { ...options, method: 'GET', path, query: { limit: 1 } } as const;
  return (await transport.json(request, EventList)).events[0]?.id ?? '0';
}
