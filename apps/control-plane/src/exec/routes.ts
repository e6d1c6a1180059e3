import { ExecClientMessage, ExecRequest, ExecResult, ExecServerMessage } from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import type { Services } from '../context.js';
import { type App, createPart } from '../http/app.js';
import { clientGone } from '../http/client-gone.js';
import { jsonBody } from '../http/json-body.js';
import { errors, json, jsonRequest, SandboxParams } from '../http/route-parts.js';
import { notAudited } from '../http/route-table.js';
import { findRunning } from '../sandboxes/find.js';
import { runCommand } from './run.js';

const exec = createRoute({
  method: 'post',
  path: '/v1/sandboxes/{id}/exec',
  operationId: 'exec',
  ...notAudited,
  tags: ['Processes'],
  summary: 'Run a command to its end',
  description:
    'With `args`, `cmd` is a program. Without, it is a line for `/bin/bash -l -c`. When the client disconnects the process group is killed.',
  middleware: [jsonBody] as const,
  request: { params: SandboxParams, body: jsonRequest(ExecRequest) },
  responses: {
    200: json(ExecResult, 'It has ended, whatever its exit code'),
    ...errors(
      'not_found',
      'invalid_state',
      'timeout',
      'payload_too_large',
      'guest_unreachable',
      'unavailable',
    ),
  },
});

const stream = createRoute({
  method: 'get',
  path: '/v1/sandboxes/{id}/exec/stream',
  operationId: 'execStream',
  tags: ['Processes'],
  summary: 'Run a command and talk to it (WebSocket)',
  description: [
    'Messages are JSON: see the schemas `ExecClientMessage` and `ExecServerMessage`.',
    'Without a key in a header the first message is `{"type":"auth","token":"…"}`, within 5 s.',
    'Then `start` (or `attach`), then any of `stdin`, `close_stdin`, `signal`, `resize`.',
    'The server answers `start`, then output as base64, then `exit`, and closes; or `error`, and closes.',
    'When the socket closes early the process is killed, unless `start` said `detach`.',
  ].join(' '),
  request: { params: SandboxParams },
  responses: {
    101: json(z.union([ExecClientMessage, ExecServerMessage]), 'From now on messages go both ways'),
    ...errors('forbidden', 'not_found'),
  },
});

/** Running commands. The stream itself is served where the HTTP server upgrades connections. */
export function execRoutes({ host }: Services): App {
  const part = createPart();

  part.openapi(exec, async (c) => {
    const { id } = await findRunning(c.get('team'), c.req.valid('param').id);
    return c.json(await runCommand(host, id, c.req.valid('json'), clientGone(c)), 200);
  });

  part.openapi(stream, () => {
    throw new DormouseError('invalid_request', 'this address is a WebSocket', {
      suggestion: 'Connect with `Upgrade: websocket`.',
    });
  });

  return part;
}
