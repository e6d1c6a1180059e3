import {
  Logs,
  LogsQuery,
  Metrics,
  type MetricsPoint,
  MetricsQuery,
  type Process,
  ProcessList,
  SignalProcessQuery,
} from '@dormouse/contracts';
import { DormouseError } from '@dormouse/errors';
import type { MetricsPoint as HostMetricsPoint, Process as HostProcess } from '@dormouse/host-api';
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import type { Services } from '../context.js';
import { processEnd, signalNumber } from '../exec/signals.js';
import { HOST_CALL_TIMEOUT_MS, hostCall } from '../host-call.js';
import { type App, createPart } from '../http/app.js';
import { errors, json, SandboxParams } from '../http/route-parts.js';
import { notAudited } from '../http/route-table.js';
import { findRunning, findSandbox } from '../sandboxes/find.js';

const timeout = { timeoutMs: HOST_CALL_TIMEOUT_MS };
const guestErrors = errors('not_found', 'invalid_state', 'guest_unreachable', 'unavailable');

const processes = createRoute({
  method: 'get',
  path: '/v1/sandboxes/{id}/processes',
  operationId: 'listProcesses',
  tags: ['Processes'],
  summary: 'List processes',
  description: 'Those that were started through this API.',
  request: { params: SandboxParams },
  responses: { 200: json(ProcessList, 'All of them'), ...guestErrors },
});

const signal = createRoute({
  method: 'delete',
  path: '/v1/sandboxes/{id}/processes/{pid}',
  operationId: 'signalProcess',
  ...notAudited,
  tags: ['Processes'],
  summary: 'Signal a process',
  description: 'Sends the signal to the process and its group.',
  request: {
    params: SandboxParams.extend({
      pid: z.string().meta({ description: 'Id of the process in the sandbox', example: '123' }),
    }),
    query: SignalProcessQuery,
  },
  responses: { 204: { description: 'It is sent' }, ...guestErrors },
});

const metrics = createRoute({
  method: 'get',
  path: '/v1/sandboxes/{id}/metrics',
  operationId: 'getSandboxMetrics',
  tags: ['Observation'],
  summary: 'CPU, memory and disk',
  description:
    'What it was doing while it ran, oldest first: a point every 10 s of the last hour, every 5 min of the last day that it ran, and the present moment when it runs. Of a paused sandbox, what was until then. `start` and `end` choose.',
  request: { params: SandboxParams, query: MetricsQuery },
  responses: { 200: json(Metrics, 'What was measured'), ...guestErrors },
});

const logs = createRoute({
  method: 'get',
  path: '/v1/sandboxes/{id}/logs',
  operationId: 'getSandboxLogs',
  tags: ['Observation'],
  summary: 'Console of the sandbox',
  description:
    'What kernel and programs have written to the console, the newest part of it; of a paused sandbox too.',
  request: { params: SandboxParams, query: LogsQuery },
  responses: { 200: json(Logs, 'Its newest part'), ...guestErrors },
});

/** What goes on in a sandbox. */
export function observationRoutes({ host }: Services): App {
  const part = createPart();

  part.openapi(processes, async (c) => {
    const { id } = await findRunning(c.get('team'), c.req.valid('param').id);
    const answer = await hostCall(host.listProcesses({ sandboxId: id }, timeout));
    return c.json({ processes: answer.processes.map(presentProcess), next_cursor: null }, 200);
  });

  part.openapi(signal, async (c) => {
    const { id, pid } = c.req.valid('param');
    const number = signalNumber(c.req.valid('query').signal ?? 'SIGKILL');
    const sandbox = await findRunning(c.get('team'), id);
    if (!/^[1-9]\d{0,8}$/.test(pid)) throw new DormouseError('not_found', `there is no process ${pid}`);
    await hostCall(host.signalProcess({ sandboxId: sandbox.id, pid: Number(pid), signal: number }, timeout));
    return c.body(null, 204);
  });

  part.openapi(metrics, async (c) => {
    const { start, end } = c.req.valid('query');
    const { id } = await findSandbox(c.get('team'), c.req.valid('param').id);
    const range = {
      ...(start === undefined ? {} : { fromMs: BigInt(Date.parse(start)) }),
      ...(end === undefined ? {} : { toMs: BigInt(Date.parse(end)) }),
    };
    const answer = await hostCall(host.getMetrics({ sandboxId: id, ...range }, timeout));
    return c.json({ points: answer.points.map(presentPoint) }, 200);
  });

  part.openapi(logs, async (c) => {
    const { id } = await findSandbox(c.get('team'), c.req.valid('param').id);
    const maxBytes = c.req.valid('query').max_bytes ?? 0;
    const { data } = await hostCall(host.readConsole({ sandboxId: id, maxBytes }, timeout));
    return c.json({ console: Buffer.from(data).toString('utf8') }, 200);
  });

  return part;
}

function presentProcess(process: HostProcess): Process {
  const end = process.running ? undefined : processEnd(process.exitCode, process.signal);
  return {
    pid: process.pid,
    argv: process.argv,
    running: process.running,
    pty: process.terminal,
    tag: process.tag === '' ? null : process.tag,
    user: process.user,
    cwd: process.cwd,
    started_at: new Date(Number(process.startedAtMs)).toISOString(),
    exit_code: end?.exit_code ?? null,
    signal: end?.signal ?? null,
  };
}

/** A moment as the API tells it. */
function presentPoint(point: HostMetricsPoint): MetricsPoint {
  return {
    at: new Date(Number(point.atMs)).toISOString(),
    uptime_ms: Number(point.uptimeMs),
    cpu_count: point.cpuCount,
    cpu_busy_ms: Number(point.cpuBusyMs),
    cpu_idle_ms: Number(point.cpuIdleMs),
    memory_total_bytes: Number(point.memoryTotalBytes),
    memory_available_bytes: Number(point.memoryAvailableBytes),
    memory_cached_bytes: Number(point.memoryCachedBytes),
    disk_total_bytes: Number(point.diskTotalBytes),
    disk_used_bytes: Number(point.diskUsedBytes),
    disk_available_bytes: Number(point.diskAvailableBytes),
    process_count: point.processCount,
  };
}
