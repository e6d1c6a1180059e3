import {
  ForkResults,
  ForkSandboxRequest,
  PauseSandboxRequest,
  ResumeSandboxRequest,
  Sandbox,
} from '@dormouse/contracts';
import { createRoute } from '@hono/zod-openapi';
import type { Services } from '../context.js';
import { type App, createPart } from '../http/app.js';
import { errorMessage } from '../http/errors.js';
import { jsonBody } from '../http/json-body.js';
import { errors, json, jsonRequest, SandboxParams } from '../http/route-parts.js';
import { audited, notAudited } from '../http/route-table.js';
import { type ForkOutcome, forkSandbox } from './fork.js';
import { pauseSandbox } from './pause.js';
import { pingSandbox } from './ping.js';
import { presentSandbox } from './present.js';
import { resumeSandbox } from './resume.js';

const pause = createRoute({
  method: 'post',
  path: '/v1/sandboxes/{id}/pause',
  operationId: 'pauseSandbox',
  ...audited('sandbox.pause'),
  tags: ['Sandboxes'],
  summary: 'Pause a sandbox',
  description: [
    'Its memory, processes and disk become a snapshot; no process and no memory of it is left. It costs disk only.',
    'A paused sandbox is answered as it is, and equal requests at the same time are one.',
    'When pausing fails the sandbox runs on.',
  ].join(' '),
  middleware: [jsonBody] as const,
  request: { params: SandboxParams, body: jsonRequest(PauseSandboxRequest) },
  responses: {
    200: json(Sandbox, 'It is paused'),
    ...errors(
      'not_found',
      'invalid_state',
      'quota_exceeded',
      'pause_failed',
      'guest_unreachable',
      'no_space',
      'unavailable',
    ),
  },
});

const resume = createRoute({
  method: 'post',
  path: '/v1/sandboxes/{id}/resume',
  operationId: 'resumeSandbox',
  ...audited('sandbox.resume'),
  tags: ['Sandboxes'],
  summary: 'Resume a paused sandbox',
  description: [
    'Answers when it takes commands, where it was: processes, memory, files.',
    'A running sandbox is answered as it is, with its new `timeout_sec`, and equal requests at the same time are one.',
    'Where the memory cannot be used it boots from its disk instead; `resumed_by` then says `reboot` and `reason` why. With `on_memory_loss` `fail` it stays paused.',
    'When resuming fails the sandbox stays paused.',
  ].join(' '),
  middleware: [jsonBody] as const,
  request: { params: SandboxParams, body: jsonRequest(ResumeSandboxRequest) },
  responses: {
    200: json(Sandbox, 'It runs'),
    ...errors(
      'not_found',
      'invalid_state',
      'quota_exceeded',
      'snapshot_incompatible',
      'snapshot_corrupt',
      'restore_failed',
      'boot_failed',
      'no_capacity',
      'unavailable',
    ),
  },
});

const fork = createRoute({
  method: 'post',
  path: '/v1/sandboxes/{id}/fork',
  operationId: 'forkSandbox',
  ...audited('sandbox.fork'),
  tags: ['Sandboxes'],
  summary: 'Fork a sandbox',
  description: [
    'Makes up to 100 sandboxes that begin where this one, running or paused, is now. It goes on as it was.',
    'Each result is a sandbox or an error: some children may fail while others run.',
  ].join(' '),
  middleware: [jsonBody] as const,
  request: { params: SandboxParams, body: jsonRequest(ForkSandboxRequest) },
  responses: {
    201: json(ForkResults, 'One result for each child'),
    ...errors(
      'not_found',
      'invalid_state',
      'quota_exceeded',
      'pause_failed',
      'no_capacity',
      'no_space',
      'unavailable',
    ),
  },
});

const ping = createRoute({
  method: 'post',
  path: '/v1/sandboxes/{id}/ping',
  operationId: 'pingSandbox',
  ...notAudited,
  tags: ['Sandboxes'],
  summary: 'Keep a sandbox from timing out',
  description:
    'Counts as activity, like every command, file and connection: it times out when `timeout_sec` has passed from now on. Looking at it (lists, metrics, logs) is no activity.',
  request: { params: SandboxParams },
  responses: {
    204: { description: 'Its whole time is before it again' },
    ...errors('not_found', 'invalid_state', 'unavailable'),
  },
});

/** Pause, resume, fork, ping. */
export function sleepRoutes(services: Services): App {
  const part = createPart();

  part.openapi(pause, async (c) => {
    const { id } = c.req.valid('param');
    return c.json(presentSandbox(await pauseSandbox(services, c.get('team'), id, c.req.valid('json'))), 200);
  });

  part.openapi(resume, async (c) => {
    const { id } = c.req.valid('param');
    return c.json(presentSandbox(await resumeSandbox(services, c.get('team'), id, c.req.valid('json'))), 200);
  });

  part.openapi(ping, async (c) => {
    await pingSandbox(services, c.get('team'), c.req.valid('param').id);
    return c.body(null, 204);
  });

  part.openapi(fork, async (c) => {
    const { id } = c.req.valid('param');
    const outcomes = await forkSandbox(services, c.get('team'), id, c.req.valid('json'));
    return c.json({ results: outcomes.map(presentOutcome) }, 201);
  });

  return part;
}

function presentOutcome({ sandbox, error }: ForkOutcome): ForkResults['results'][number] {
  if (sandbox !== undefined) return { sandbox: presentSandbox(sandbox) };
  return { error: { code: error.code, message: errorMessage(error) } };
}
