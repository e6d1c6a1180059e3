import { DEFAULT_PAGE_SIZE, EventList, EventsQuery } from '@dormouse/contracts';
import type { EventFilter, TeamScope } from '@dormouse/store';
import { createRoute } from '@hono/zod-openapi';
import type { z } from 'zod';
import type { Services } from '../context.js';
import { type App, createPart } from '../http/app.js';
import { errors, json, SandboxParams } from '../http/route-parts.js';
import { findSandbox } from '../sandboxes/find.js';
import { liveEvents } from './live.js';
import { presentEvent } from './present.js';

const LIVE = [
  'With `Accept: text/event-stream` the answer is a live stream of server-sent events instead: each has its `id`, its',
  'type as `event`, and the event as JSON in `data`. `Last-Event-ID` goes on after an event, `after=0` begins with the',
  'first; otherwise it begins now. Nothing is left out and nothing comes twice, whichever control plane is asked.',
].join(' ');

const page = json(EventList, 'One page, newest first; or the stream');
const answers = { 200: { ...page, content: withStream(page.content) } };

const ofSandbox = createRoute({
  method: 'get',
  path: '/v1/sandboxes/{id}/events',
  operationId: 'listSandboxEvents',
  tags: ['Events'],
  summary: 'What happened to a sandbox',
  description: `${LIVE} The stream ends when the sandbox is deleted.`,
  request: { params: SandboxParams, query: EventsQuery },
  responses: { ...answers, ...errors('not_found') },
});

const ofTeam = createRoute({
  method: 'get',
  path: '/v1/events',
  operationId: 'listEvents',
  tags: ['Events'],
  summary: 'What happened to the sandboxes and snapshots of the team',
  description: LIVE,
  request: { query: EventsQuery },
  responses: { ...answers, ...errors() },
});

/** Events of one sandbox and of the whole team. */
export function eventRoutes(services: Services): App {
  const part = createPart();
  part.use('/v1/sandboxes/:id/events', liveEvents(services));
  part.use('/v1/events', liveEvents(services));

  part.openapi(ofSandbox, async (c) => {
    const { id } = await findSandbox(c.get('team'), c.req.valid('param').id);
    return c.json(await pageOf(c.get('team'), { sandboxId: id }, c.req.valid('query')), 200);
  });

  part.openapi(ofTeam, async (c) => {
    return c.json(await pageOf(c.get('team'), {}, c.req.valid('query')), 200);
  });

  return part;
}

async function pageOf(
  team: TeamScope,
  filter: EventFilter,
  { limit = DEFAULT_PAGE_SIZE, cursor }: z.output<typeof EventsQuery>,
): Promise<EventList> {
  const page = await team.events.list(filter, { limit, cursor });
  return { events: page.items.map(presentEvent), next_cursor: page.nextCursor };
}

/** The document has the stream as well. Its type is left out: `live.ts` answers it, not the handlers here. */
function withStream<Content extends object>(content: Content): Content {
  return { ...content, 'text/event-stream': { schema: { type: 'string' } } };
}
