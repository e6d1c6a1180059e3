import { EventsQuery } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import type { EventFilter } from '@dormouse/store';
import type { Context, MiddlewareHandler } from 'hono';
import type { AppEnv, Services } from '../context.js';
import { watchWelcome } from '../http/welcome.js';
import { findSandbox } from '../sandboxes/find.js';
import { eventStream } from './stream.js';

/** Answers with a live stream who asks for one. */
export function liveEvents(services: Services): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    if (c.req.method !== 'GET' || !wantsStream(c.req.header('accept'))) return next();
    const team = c.get('team');
    const id = c.req.param('id');
    const filter = id === undefined ? {} : { sandboxId: (await findSandbox(team, id)).id };
    const after =
      eventId('Last-Event-ID', c.req.header('last-event-id')) ?? eventId('after', c.req.query('after'));
    return streamed(services, c, filter, after ?? (await team.events.newest(filter)));
  };
}

function wantsStream(accept: string | undefined): boolean {
  return /(^|,)\s*text\/event-stream\s*(;|,|$)/i.test(accept ?? '');
}

/** @throws DormouseError `invalid_request` */
function eventId(where: string, text: string | undefined): string | undefined {
  if (text === undefined || text === '') return undefined;
  const { data } = EventsQuery.shape.after.safeParse(text);
  if (data !== undefined) return data;
  throw new DormouseError('invalid_request', `${where}: must be the id of an event`);
}

/** Nothing is prepared before it is asked for, so a reader that does not read costs no memory. */
function streamed(services: Services, c: Context<AppEnv>, filter: EventFilter, after: string): Response {
  const { feed, metrics } = services;
  const gone = new AbortController();
  const welcome = watchWelcome(services, c.get('caller'));
  const signal = AbortSignal.any([gone.signal, feed.closing, welcome.signal]);
  const texts = eventStream(c.get('team'), feed, filter, after, signal);
  const encoder = new TextEncoder();
  let isOpen = true;
  const end = (): void => {
    if (!isOpen) return;
    isOpen = false;
    metrics.eventStreams.dec();
    welcome[Symbol.dispose]();
    gone.abort();
    void texts.return();
  };
  metrics.eventStreams.inc();
  const body = new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        try {
          const { value, done } = await texts.next();
          if (done !== true) return controller.enqueue(encoder.encode(value));
          end();
          controller.close();
        } catch (error) {
          end();
          c.get('log').warn({ err: error }, 'a stream of events broke off');
          controller.error(error);
        }
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  );
  return c.body(body, 200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
}
