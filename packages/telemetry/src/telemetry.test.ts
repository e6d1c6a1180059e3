import { DormouseError } from '@dormouse/errors';
import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { beginSpan, inSpan, traceIdOf, traceWith } from './span.js';
import { startTracing } from './start.js';
import { inStream } from './stream.js';
import { remoteParent, sendParent } from './trace-context.js';

const exporter = new InMemorySpanExporter();
const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });

beforeEach(() => {
  provider.register({ propagator: new W3CTraceContextPropagator() });
  traceWith(provider.getTracer('test'));
  exporter.reset();
});
afterEach(() => {
  traceWith(undefined);
  for (const api of [trace, context, propagation]) api.disable();
});

const sent = () =>
  exporter.getFinishedSpans().map(({ name, kind, status, attributes, parentSpanContext }) => ({
    name,
    kind,
    status: status.code,
    attributes,
    parent: parentSpanContext?.spanId,
  }));
const idOf = (name: string) =>
  exporter
    .getFinishedSpans()
    .find((span) => span.name === name)
    ?.spanContext().spanId;

describe('a span', () => {
  test('is the parent of what is done in it, however that waits', async () => {
    await inSpan('outer', { kind: 'server', attributes: { 'dormouse.count': 1 } }, async () => {
      await new Promise((resolve) => setImmediate(resolve));
      await inSpan('inner', {}, async () => {});
    });
    expect(sent()).toEqual([
      {
        name: 'inner',
        kind: SpanKind.INTERNAL,
        status: SpanStatusCode.UNSET,
        attributes: {},
        parent: idOf('outer'),
      },
      {
        name: 'outer',
        kind: SpanKind.SERVER,
        status: SpanStatusCode.UNSET,
        attributes: { 'dormouse.count': 1 },
        parent: undefined,
      },
    ]);
  });

  test('hazard 21: tells of a failure its code alone', async () => {
    const failing = inSpan('work', {}, () =>
      Promise.reject(new DormouseError('not_found', 'there is no /home/user/secret')),
    );
    await expect(failing).rejects.toThrow('secret');
    expect(sent()[0]).toMatchObject({
      status: SpanStatusCode.ERROR,
      attributes: { 'error.type': 'not_found' },
    });
    expect(JSON.stringify(sent())).not.toContain('secret');
    expect(exporter.getFinishedSpans()[0]?.events).toEqual([]);
  });

  test('that is broken off is no failure, and ends once', () => {
    const span = beginSpan('work');
    span.end(new DormouseError('cancelled', 'enough'));
    span.end(new DormouseError('internal', 'late'));
    expect(sent()).toMatchObject([
      { status: SpanStatusCode.UNSET, attributes: { 'error.type': 'cancelled' } },
    ]);
  });

  test('that is wanted only within a trace is none outside of one, nor after its end', () => {
    beginSpan('alone', { onlyWithin: true }).end();
    const outer = beginSpan('outer');
    outer.run(() => beginSpan('within', { onlyWithin: true }).end());
    outer.end();
    outer.run(() => beginSpan('late', { onlyWithin: true }).end());
    expect(sent().map(({ name }) => name)).toEqual(['within', 'outer']);
  });

  test('gives logs the id of its trace', () => {
    expect(traceIdOf()).toBeUndefined();
    const span = beginSpan('work');
    expect(span.run(traceIdOf)).toMatch(/^[0-9a-f]{32}$/);
    span.end();
  });
});

describe('a stream', () => {
  async function* numbers(error?: Error) {
    for (const number of [1, 2]) {
      await inSpan(`step ${number}`, { onlyWithin: true }, async () => {});
      yield number;
    }
    if (error !== undefined) throw error;
  }

  test('is a span until its end, and all its steps are part of it', async () => {
    const read: number[] = [];
    for await (const number of inStream(numbers(), beginSpan('stream'))) read.push(number);
    expect(read).toEqual([1, 2]);
    const stream = idOf('stream');
    expect(sent().map(({ name, parent }) => [name, parent])).toEqual([
      ['step 1', stream],
      ['step 2', stream],
      ['stream', undefined],
    ]);
  });

  test('ends its span when its reader breaks off, and when it fails', async () => {
    for await (const _ of inStream(numbers(), beginSpan('broken off'))) break;
    const failing = inStream(numbers(new Error('x')), beginSpan('failed'), () => {
      return new DormouseError('unavailable', 'in our terms');
    });
    const readAll = async (): Promise<void> => {
      for await (const _ of failing);
    };
    await expect(readAll()).rejects.toThrow('x');
    expect(sent().filter(({ name }) => !name.startsWith('step'))).toMatchObject([
      { name: 'broken off', status: SpanStatusCode.UNSET },
      { name: 'failed', status: SpanStatusCode.ERROR, attributes: { 'error.type': 'unavailable' } },
    ]);
  });
});

describe('headers', () => {
  test('tell the other end what this is part of', async () => {
    const headers = new Headers();
    const here = beginSpan('here', { kind: 'client' });
    here.run(() => sendParent(headers));
    here.end();
    beginSpan('there', { kind: 'server', parent: remoteParent(headers) }).end();
    expect(sent().at(-1)).toMatchObject({ name: 'there', parent: idOf('here') });
  });

  test('say nothing outside of a trace, and nothing is made of nonsense', () => {
    const headers = new Headers();
    sendParent(headers);
    expect([...headers.keys()]).toEqual([]);
    expect(remoteParent(headers)).toBeUndefined();
    for (const traceparent of ['', 'x', `00-${'0'.repeat(32)}-${'0'.repeat(16)}-01`]) {
      expect(remoteParent(new Headers({ traceparent }))).toBeUndefined();
    }
  });
});

describe('without an endpoint', () => {
  const log = { warn: () => {} };
  const options = { serviceName: 'test', version: '1', log };

  test.each([
    {},
    { OTEL_EXPORTER_OTLP_ENDPOINT: ' ' },
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1', OTEL_SDK_DISABLED: 'true' },
    { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://127.0.0.1:1', OTEL_TRACES_EXPORTER: 'none' },
  ])('there are no spans: %o', async (environment) => {
    traceWith(undefined);
    const tracing = await startTracing({ ...options, environment });
    beginSpan('work').run(() => expect(traceIdOf()).toBeUndefined());
    await tracing.stop();
    expect(sent()).toEqual([]);
  });

  test('that is a URL the variable is named', async () => {
    const environment = { OTEL_EXPORTER_OTLP_ENDPOINT: 'localhost:4317' };
    await expect(startTracing({ ...options, environment })).rejects.toMatchObject({
      code: 'invalid_request',
      message: 'OTEL_EXPORTER_OTLP_ENDPOINT is no URL that begins with http:// or https://',
    });
  });
});
