import { setTimeout as wait } from 'node:timers/promises';
import {
  type BuildLogEntry,
  BuildLogsQuery,
  CreateTemplateBuildRequest,
  DEFAULT_PAGE_SIZE,
  ListTemplateBuildsQuery,
  TemplateBuild,
  TemplateBuildList,
} from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import type { BuildLogRecord, BuildRecord, TeamScope } from '@dormouse/store';
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import type { Caller, Services } from '../context.js';
import { type App, createPart } from '../http/app.js';
import { clientGone } from '../http/client-gone.js';
import { jsonBody } from '../http/json-body.js';
import { errors, json, jsonRequest } from '../http/route-parts.js';
import { audited } from '../http/route-table.js';
import { watchWelcome } from '../http/welcome.js';
import { newBuildId } from '../random-id.js';
import { findOrigin } from '../sandboxes/origin.js';
import { hostTemplates } from './host-templates.js';

/** How often to look for more of a log: another process may be writing it. */
const FOLLOW_EVERY_MS = 300;
const LOG_PAGE_SIZE = 200;

/** Lines of JSON, which are no JSON together. */
const LINES: string = 'application/x-ndjson';

const BUILD_ID_PATTERN = /^tb[a-z0-9]{20}$/;

const BuildParams = z.object({
  id: z.string().meta({ description: 'Id of the build', example: 'tb4f9k2m7q1x8c3v6b0n5z' }),
});

const create = createRoute({
  method: 'post',
  path: '/v1/templates',
  operationId: 'buildTemplate',
  ...audited('template.build'),
  tags: ['Templates'],
  summary: 'Build a template',
  description: [
    'Answers at once; the build goes on by itself. In a sandbox of what it begins with its steps are done one after the',
    'other, as root and in `/` until they say otherwise. The last moment, with the start command running, becomes a',
    'snapshot of this name. A moment is kept after each `run` and `copy`: the next build of the same name begins after the',
    'last step up to which nothing has changed.',
  ].join(' '),
  middleware: [jsonBody] as const,
  request: { body: jsonRequest(CreateTemplateBuildRequest) },
  responses: {
    202: json(TemplateBuild, 'It is in the queue'),
    ...errors('not_found', 'already_exists', 'invalid_state', 'payload_too_large', 'unavailable'),
  },
});

const list = createRoute({
  method: 'get',
  path: '/v1/templates/builds',
  operationId: 'listTemplateBuilds',
  tags: ['Templates'],
  summary: 'List builds of templates',
  description: 'Newest first.',
  request: { query: ListTemplateBuildsQuery },
  responses: { 200: json(TemplateBuildList, 'One page'), ...errors() },
});

const get = createRoute({
  method: 'get',
  path: '/v1/templates/builds/{id}',
  operationId: 'getTemplateBuild',
  tags: ['Templates'],
  summary: 'Get a build of a template',
  description: 'How far it is. `GET …/logs` says what it is doing.',
  request: { params: BuildParams },
  responses: { 200: json(TemplateBuild, 'The build'), ...errors('not_found') },
});

const cancel = createRoute({
  method: 'post',
  path: '/v1/templates/builds/{id}/cancel',
  operationId: 'cancelTemplateBuild',
  ...audited('template.cancel_build'),
  tags: ['Templates'],
  summary: 'Cancel a build of a template',
  description:
    'One that waits is cancelled at once, one that goes on within seconds: `state` says when. The template stays as it was; what was done is not done again by the next build. Cancelling twice is the same as once.',
  request: { params: BuildParams },
  responses: { 200: json(TemplateBuild, 'The build'), ...errors('not_found', 'invalid_state') },
});

const logs = createRoute({
  method: 'get',
  path: '/v1/templates/builds/{id}/logs',
  operationId: 'getTemplateBuildLogs',
  tags: ['Templates'],
  summary: 'Read the log of a build',
  description:
    'One `BuildLogEntry` in JSON a line, oldest first; of one build 4 MiB are kept. With `follow` the answer goes on until the build is done.',
  request: { params: BuildParams, query: BuildLogsQuery },
  responses: {
    200: {
      description: 'The log',
      content: { [LINES]: { schema: z.string() } },
    },
    ...errors('not_found'),
  },
});

/** Building templates. */
export function templateBuildRoutes(services: Services): App {
  const part = createPart();

  part.openapi(create, async (c) => {
    const team = c.get('team');
    const recipe = c.req.valid('json');
    (await findOrigin(services, team, recipe.from)).assertSize(recipe);
    await assertNameFree(services, team, recipe.name);
    const { name, from, steps } = recipe;
    const build = await team.templateBuilds.insert({
      id: newBuildId(),
      name,
      from,
      stepCount: steps.length,
      recipe,
    });
    await services.buildJobs.add(team.teamId, build.id);
    c.header('Location', `/v1/templates/builds/${build.id}`);
    return c.json(presentBuild(build), 202);
  });

  part.openapi(list, async (c) => {
    const { limit = DEFAULT_PAGE_SIZE, cursor } = c.req.valid('query');
    const page = await c.get('team').templateBuilds.list({ limit, cursor });
    return c.json({ builds: page.items.map(presentBuild), next_cursor: page.nextCursor }, 200);
  });

  part.openapi(get, async (c) => {
    return c.json(presentBuild(await findBuild(c.get('team'), c.req.valid('param').id)), 200);
  });

  part.openapi(cancel, async (c) => {
    const team = c.get('team');
    const { id } = await findBuild(team, c.req.valid('param').id);
    const build = (await team.templateBuilds.cancel(id)) ?? (await findBuild(team, id));
    if (build.state === 'ready' || build.state === 'failed')
      throw new DormouseError('invalid_state', `the build ${id} is done: ${build.state}`);
    return c.json(presentBuild(build), 200);
  });

  part.openapi(logs, async (c) => {
    const team = c.get('team');
    const { id } = await findBuild(team, c.req.valid('param').id);
    const follow = c.req.valid('query').follow === 'true';
    const lines = follow
      ? followedLines(services, c.get('caller'), team, id, clientGone(c))
      : logLines(team, id, false, clientGone(c));
    return new Response(ReadableStream.from(lines), { headers: { 'Content-Type': LINES } });
  });

  return part;
}

/** Names of the host's templates, and of snapshots that were not built, are not a build's to take. */
async function assertNameFree(services: Services, team: TeamScope, name: string): Promise<void> {
  const templates = await hostTemplates(services);
  const holder = await team.snapshots.get(name);
  const taken = templates.some((template) => template.name === name)
    ? 'template of the host'
    : holder !== undefined && !(await team.templateBuilds.made(holder.id))
      ? 'snapshot that was not built'
      : undefined;
  if (taken === undefined) return;
  throw new DormouseError('already_exists', `${name} is the name of a ${taken}`, {
    suggestion: 'Choose another name.',
  });
}

async function findBuild(team: TeamScope, id: string): Promise<BuildRecord> {
  const record = BUILD_ID_PATTERN.test(id) ? await team.templateBuilds.get(id) : undefined;
  if (record !== undefined) return record;
  throw new DormouseError('not_found', `there is no build ${id.slice(0, 64)}`);
}

/** What a build says, for as long as its reader may know. */
async function* followedLines(
  services: Services,
  caller: Caller,
  team: TeamScope,
  id: string,
  gone: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  using welcome = watchWelcome(services, caller);
  yield* logLines(team, id, true, AbortSignal.any([gone, welcome.signal]));
}

/** What a build has said, read when it is asked for. Ends when the build does, or is told to. */
async function* logLines(
  team: TeamScope,
  id: string,
  follow: boolean,
  stop: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const encoder = new TextEncoder();
  let after = '0';
  while (!stop.aborted) {
    // Asked before the log is read: what it said last is there then.
    const build = await team.templateBuilds.get(id);
    const entries = await team.templateBuilds.logs(id, after, LOG_PAGE_SIZE);
    for (const entry of entries) {
      after = entry.seq;
      yield encoder.encode(`${JSON.stringify(presentEntry(entry))}\n`);
    }
    if (entries.length > 0) continue;
    const done = build === undefined || build.finished_at !== null;
    if (!follow || done) return;
    await wait(FOLLOW_EVERY_MS, undefined, { signal: stop }).catch(() => undefined);
  }
}

function presentEntry({ step, stream, text, at }: BuildLogRecord): BuildLogEntry {
  return { step, stream, text, at: at.toISOString() };
}

function presentBuild(record: BuildRecord): TemplateBuild {
  return {
    id: record.id,
    name: record.name,
    from: record.from_name,
    state: record.state,
    steps: record.step_count,
    step: record.step,
    cached_steps: record.cached_steps,
    snapshot_id: record.state === 'ready' ? record.snapshot_id : null,
    error: record.error,
    created_at: record.created_at.toISOString(),
    started_at: record.started_at?.toISOString() ?? null,
    finished_at: record.finished_at?.toISOString() ?? null,
  };
}
