/** Where what goes wrong with traces is said. */
export interface TracingLog {
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}

/** Who traces. */
export interface TracingOptions {
  /** Name of the service, unless OTEL_SERVICE_NAME says otherwise. */
  readonly serviceName: string;
  readonly version: string;
  /** Variables of OpenTelemetry's specification. */
  readonly environment: NodeJS.ProcessEnv;
  readonly log: TracingLog;
}

/** Traces that are being written, or nothing. */
export interface Tracing {
  /** Sends what is left, for two seconds at most. */
  stop(): Promise<void>;
}
