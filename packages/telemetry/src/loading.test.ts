import { createRequire } from 'node:module';
import { expect, test } from 'vitest';
import { startTracing } from './index.js';

/** Which of OpenTelemetry's packages are loaded in this process. */
function loaded(): string[] {
  const paths = Object.keys(createRequire(import.meta.url).cache);
  const names = paths.map((path) => /node_modules\/@opentelemetry\/([^/]+)\//.exec(path)?.[1]);
  return [...new Set(names.filter((name) => name !== undefined))].toSorted();
}

test('nothing but the API is loaded until somebody wants traces', async () => {
  const options = { serviceName: 'test', version: '1', log: { warn: () => {} } };
  await (await startTracing({ ...options, environment: {} })).stop();
  expect(loaded().filter((name) => name !== 'api')).toEqual([]);
  const environment = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' };
  await (await startTracing({ ...options, environment })).stop();
  expect(loaded()).toEqual(expect.arrayContaining(['api', 'exporter-trace-otlp-http', 'sdk-trace-node']));
});
