import { Health, Readiness } from '@dormouse/contracts';
import { fromUnknown } from '@dormouse/errors';
import { createRoute } from '@hono/zod-openapi';
import { z } from 'zod';
import type { Services } from '../context.js';
import { hostCall } from '../host-call.js';
import { type App, createPart } from '../http/app.js';
import { json } from '../http/route-parts.js';

/** Whoever asks for readiness wants to know soon. */
const CHECK_TIMEOUT_MS = 3_000;

const healthz = createRoute({
  method: 'get',
  path: '/healthz',
  operationId: 'getHealth',
  tags: ['Operation'],
  summary: 'Whether the process answers',
  description: 'Needs neither database nor host: for a supervisor that asks whether to restart it.',
  security: [],
  responses: { 200: json(Health, 'It does') },
});

const readyz = createRoute({
  method: 'get',
  path: '/readyz',
  operationId: 'getReadiness',
  tags: ['Operation'],
  summary: 'Whether database and host agent can be reached',
  description: 'For a load balancer that asks whether to send requests here.',
  security: [],
  responses: { 200: json(Readiness, 'They can'), 503: json(Readiness, 'One of them cannot') },
});

const metrics = createRoute({
  method: 'get',
  path: '/metrics',
  operationId: 'getMetrics',
  tags: ['Operation'],
  summary: 'Figures for Prometheus',
  description:
    'Of the control plane, and of the host as long as it answers, in the text format of Prometheus. ARCHITECTURE.md has the names.',
  security: [],
  responses: {
    200: { description: 'Text exposition format', content: { 'text/plain': { schema: z.string() } } },
  },
});

/** For those who operate it. */
export function healthRoutes(services: Services): App {
  const part = createPart();

  part.openapi(healthz, (c) => c.json({ status: 'ok' as const, version: services.version }, 200));

  part.openapi(readyz, async (c) => {
    const [database, host] = await Promise.all([
      check(services.store.ping()),
      check(hostCall(services.host.getHost({}, { timeoutMs: CHECK_TIMEOUT_MS }))),
    ]);
    const ready = database === 'ok' && host === 'ok';
    const body = { status: ready ? ('ready' as const) : ('not_ready' as const), checks: { database, host } };
    return c.json(body, ready ? 200 : 503);
  });

  part.openapi(metrics, async (c) => {
    const { registry } = services.metrics;
    const [own, ofHost] = await Promise.all([registry.metrics(), hostMetrics(services)]);
    return c.text(`${own}${ofHost}`, 200, { 'Content-Type': registry.contentType });
  });

  return part;
}

/** What the host tells of itself; nothing while it does not answer, which `dormouse_hosts` says. */
async function hostMetrics({ host, log }: Services): Promise<string> {
  try {
    return (await hostCall(host.getHostMetrics({}, { timeoutMs: CHECK_TIMEOUT_MS }))).exposition;
  } catch (error) {
    log.debug({ err: fromUnknown(error) }, 'the host does not tell its metrics');
    return '';
  }
}

async function check(question: Promise<unknown>): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`no answer within ${CHECK_TIMEOUT_MS / 1000} s`), CHECK_TIMEOUT_MS);
  });
  try {
    return await Promise.race([
      question.then(
        () => 'ok',
        (error) => fromUnknown(error).message,
      ),
      late,
    ]);
  } finally {
    clearTimeout(timer);
  }
}
