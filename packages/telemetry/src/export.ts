import { type DiagLogger, DiagLogLevel, diag } from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { traceWith } from './span.js';
import type { Tracing, TracingLog, TracingOptions } from './tracing.js';

const STOP_PATIENCE_MS = 2_000;
/** A collector that is away is so at every attempt: that is said once in a while. */
const QUIET_MS = 60_000;

/** Makes spans and sends them; what is loaded here is loaded for nobody else. */
export function exportTraces({ serviceName, version, log }: TracingOptions): Tracing {
  diag.setLogger(toldSometimes(log), { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
  const own = resourceFromAttributes({ 'service.name': serviceName, 'service.version': version });
  const provider = new NodeTracerProvider({
    resource: own.merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
  });
  // Baggage is left out: what strangers send along is nothing to hand on.
  provider.register({ propagator: new W3CTraceContextPropagator() });
  traceWith(provider.getTracer('dormouse', version));
  return {
    stop: async () => {
      traceWith(undefined);
      let late: NodeJS.Timeout | undefined;
      const patience = new Promise<void>((resolve) => {
        late = setTimeout(resolve, STOP_PATIENCE_MS);
      });
      await Promise.race([provider.shutdown().catch(() => {}), patience]);
      clearTimeout(late);
    },
  };
}

/** Hands on what the SDK says, which may hold an answer of the collector, but not twice a minute. */
function toldSometimes(log: TracingLog): DiagLogger {
  let toldAtMs = Number.NEGATIVE_INFINITY;
  const tell = (message: string): void => {
    if (performance.now() - toldAtMs < QUIET_MS) return;
    toldAtMs = performance.now();
    log.warn({ detail: message.slice(0, 500) }, 'traces are not sent');
  };
  const nothing = (): void => {};
  return { error: tell, warn: tell, info: nothing, debug: nothing, verbose: nothing };
}
