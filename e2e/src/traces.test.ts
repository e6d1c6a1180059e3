import { randomBytes } from 'node:crypto';
import type { Sandbox } from '@dormouse/sdk';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from './support/eventually.js';
import { type OtlpReceiver, type SentSpan, startOtlpReceiver } from './support/otlp-receiver.js';
import { type Stack, startStack } from './support/stack.js';

const PATIENCE_MS = 60_000;
const CONTROL_PLANE = 'dormouse-control-plane';
const HOST_AGENT = 'dormouse-host-agent';
const KEY_OF_COLLECTOR = 'key-of-the-collector';
const SERVER = 2;
const CLIENT = 3;
const ERROR = 2;

let receiver: OtlpReceiver;
let stack: Stack;
let sandbox: Sandbox;

beforeAll(async () => {
  receiver = await startOtlpReceiver();
  stack = await startStack({
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
      OTEL_EXPORTER_OTLP_HEADERS: `x-collector-key=${KEY_OF_COLLECTOR}`,
      OTEL_BSP_SCHEDULE_DELAY: '200',
    },
  });
  sandbox = (await stack.client.sandboxes.create()).keep();
});

afterAll(async () => {
  await stack?.[Symbol.asyncDispose]();
  await receiver?.[Symbol.asyncDispose]();
});

/** A request as part of a trace of our own; answers the trace's id and ours in it. */
async function traced(method: string, path: string, body?: object) {
  const [traceId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
  const response = await fetch(`${stack.apiUrl}${path}`, {
    method,
    headers: {
      'x-api-key': stack.apiKey,
      traceparent: `00-${traceId}-${spanId}-01`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  await response.arrayBuffer();
  return { traceId, spanId, status: response.status };
}

/** The spans of a trace, once they have all of these names. */
function spansOf(traceId: string, names: readonly string[]): Promise<readonly SentSpan[]> {
  return eventually(`a trace with ${names.join(', ')}`, PATIENCE_MS, async () => {
    const spans = receiver.spans.filter((span) => span.traceId === traceId);
    return names.every((name) => spans.some((span) => span.name === name)) && spans;
  });
}

/** The names on the way from a span up to its root. */
function pathOf(spans: readonly SentSpan[], name: string): string[] {
  const path: string[] = [];
  for (let span = spans.find((one) => one.name === name); span !== undefined; ) {
    path.push(span.name);
    const { parentSpanId } = span;
    span = spans.find((one) => one.spanId === parentSpanId);
  }
  return path;
}

const RPC = 'dormouse.host.v1.HostService/';

test('a pause is one trace: of the client, the control plane, the host agent and the guest link', async () => {
  const route = 'POST /v1/sandboxes/:id/pause';
  const { traceId, spanId, status } = await traced('POST', `/v1/sandboxes/${sandbox.id}/pause`);
  expect(status).toBe(200);
  const phases = ['prepare', 'hold', 'freeze', 'capture', 'commit', 'free'].map((phase) => `pause ${phase}`);
  const spans = await spansOf(traceId, [route, `${RPC}PauseSandbox`, 'pause', 'guest hold', ...phases]);

  const request = spans.find(({ name }) => name === route);
  expect(request).toMatchObject({ service: CONTROL_PLANE, kind: SERVER, parentSpanId: spanId, status: 0 });
  expect(request?.attributes).toEqual({
    'http.request.method': 'POST',
    'http.route': '/v1/sandboxes/:id/pause',
    'http.response.status_code': 200,
    'dormouse.sandbox.id': sandbox.id,
  });
  const calls = spans.filter(({ name }) => name === `${RPC}PauseSandbox`);
  const [asked, answered] = calls.toSorted((one, other) => other.kind - one.kind);
  expect(calls).toHaveLength(2);
  expect(asked).toMatchObject({ service: CONTROL_PLANE, kind: CLIENT, parentSpanId: request?.spanId });
  expect(answered).toMatchObject({ service: HOST_AGENT, kind: SERVER, parentSpanId: asked?.spanId });
  expect(answered?.attributes).toMatchObject({ 'dormouse.sandbox.id': sandbox.id });
  expect(spans.find(({ name }) => name === 'pause')).toMatchObject({
    service: HOST_AGENT,
    parentSpanId: answered?.spanId,
  });
  expect(pathOf(spans, 'guest hold').slice(0, 3)).toEqual(['guest hold', 'pause hold', 'pause']);
  for (const phase of phases) expect(pathOf(spans, phase).slice(0, 2)).toEqual([phase, 'pause']);
  // Within the bounds of what they are part of: one host has one clock.
  for (const span of spans) {
    const parent = spans.find((one) => one.spanId === span.parentSpanId);
    if (parent === undefined) continue;
    expect([span.name, span.startNs >= parent.startNs - 1_000_000n]).toEqual([span.name, true]);
  }
});

test('a resume is one as well, up to the last of the memory', async () => {
  const { traceId, status } = await traced('POST', `/v1/sandboxes/${sandbox.id}/resume`);
  expect(status).toBe(200);
  const phases = ['prepare', 'start', 'load', 'greet', 'wake', 'fill'].map((phase) => `restore ${phase}`);
  const spans = await spansOf(traceId, [...phases, 'guest greet', 'guest wake']);
  expect(pathOf(spans, 'guest greet').slice(0, 3)).toEqual(['guest greet', 'restore greet', 'restore']);
  expect(pathOf(spans, 'guest wake').slice(0, 3)).toEqual(['guest wake', 'restore wake', 'restore']);
  for (const phase of phases) expect(pathOf(spans, phase).slice(0, 2)).toEqual([phase, 'restore']);
});

test('a stream is a span until it ends', async () => {
  const json = { cmd: 'sh', args: ['-c', 'sleep 1; echo done'] };
  const { traceId } = await traced('POST', `/v1/sandboxes/${sandbox.id}/exec`, json);
  const spans = await spansOf(traceId, ['POST /v1/sandboxes/:id/exec', `${RPC}Exec`, 'guest processStart']);
  const guest = spans.find(({ name }) => name === 'guest processStart');
  expect(guest).toMatchObject({ service: HOST_AGENT, kind: CLIENT, events: ['answered'], status: 0 });
  expect(guest!.endNs - guest!.startNs).toBeGreaterThanOrEqual(900_000_000n);
  expect(pathOf(spans, 'guest processStart').slice(0, 2)).toEqual(['guest processStart', `${RPC}Exec`]);
  const calls = spans.filter(({ name }) => name === `${RPC}Exec`);
  expect(calls.map(({ kind }) => kind).toSorted()).toEqual([SERVER, CLIENT]);
  for (const call of calls) expect(call.endNs - call.startNs).toBeGreaterThanOrEqual(900_000_000n);
});

test('what fails says so, by its code', async () => {
  const path = `/v1/sandboxes/${sandbox.id}/files?path=/nowhere/at/all`;
  const { traceId, status } = await traced('GET', path);
  expect(status).toBe(404);
  const route = 'GET /v1/sandboxes/:id/files';
  const spans = await spansOf(traceId, [route]);
  const failed = spans.filter((span) => span.status === ERROR);
  expect(failed.map(({ service }) => service)).toContain(HOST_AGENT);
  for (const span of failed) expect(span.attributes).toMatchObject({ 'error.type': 'not_found' });
  // It is the client's error, not the server's.
  const request = spans.find(({ name }) => name === route);
  expect(request).toMatchObject({ status: 0, attributes: { 'error.type': 'not_found' } });
});

test('a trace begins with a request, or with what a host does by itself, and never with a call that is made all the time', () => {
  const roots = receiver.spans.filter(({ parentSpanId }) => parentSpanId === undefined);
  expect(roots.length).toBeGreaterThan(0);
  for (const { name } of roots)
    expect(name).toMatch(/^((GET|POST|PUT|DELETE) \/|(boot|restore|pause|checkpoint)$)/);
});

test('hazard 21: no span holds a key, a command, what it wrote, its environment, or the name of a file', async () => {
  const secrets = ['in-argument', 'in-environment', 'in-file-name', 'in-content', 'in-query'].map(
    (where) => `secret-${where}-${randomBytes(8).toString('hex')}`,
  );
  const [argument, variable, name, content, query] = secrets as [string, string, string, string, string];
  await sandbox.exec({ cmd: 'sh', args: ['-c', `echo ${argument}`], envs: { NAME: variable } });
  await sandbox.files.write(`/tmp/${name}`, content);
  await expect(sandbox.files.read(`/tmp/${name}/below`)).rejects.toThrow();
  const last = await traced('GET', `/v1/sandboxes/${sandbox.id}/files?path=/tmp/${query}`);
  await spansOf(last.traceId, ['GET /v1/sandboxes/:id/files']);
  const text = receiver.text();
  for (const secret of [...secrets, stack.apiKey, KEY_OF_COLLECTOR]) expect(text).not.toContain(secret);
  // The collector's own key is where it belongs, and nowhere else.
  expect(new Set(receiver.keys)).toEqual(new Set([KEY_OF_COLLECTOR]));
});
