import { DormouseError } from '@dormouse/errors';
import type { Tracing, TracingOptions } from './tracing.js';

const ENDPOINTS = ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT'] as const;
const PROTOCOLS = ['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL'] as const;
const PROTOCOL = 'http/json';

/**
 * Sends traces where the environment says. Without an endpoint nothing is loaded and no span costs anything.
 *
 * @throws DormouseError `invalid_request` when an endpoint is no URL
 */
export async function startTracing(options: TracingOptions): Promise<Tracing> {
  const { environment, log } = options;
  const endpoint = firstOf(ENDPOINTS, environment);
  const isOff = environment.OTEL_SDK_DISABLED === 'true' || environment.OTEL_TRACES_EXPORTER === 'none';
  if (endpoint === undefined || isOff) return { stop: async () => {} };
  if (!/^https?:\/\//.test(endpoint.value) || !URL.canParse(endpoint.value)) {
    throw new DormouseError(
      'invalid_request',
      `${endpoint.name} is no URL that begins with http:// or https://`,
    );
  }
  const protocol = firstOf(PROTOCOLS, environment);
  if (protocol !== undefined && protocol.value !== PROTOCOL) {
    log.warn({ wanted: protocol.value }, `traces are sent as OTLP over ${PROTOCOL} and nothing else`);
  }
  const { exportTraces } = await import('./export.js');
  return exportTraces(options);
}

function firstOf(
  names: readonly string[],
  environment: NodeJS.ProcessEnv,
): { readonly name: string; readonly value: string } | undefined {
  for (const name of names) {
    const value = environment[name]?.trim();
    if (value !== undefined && value !== '') return { name, value };
  }
  return undefined;
}
