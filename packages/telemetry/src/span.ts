import { fromUnknown } from '@dormouse/errors';
import {
  type Attributes,
  type Context,
  context,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';

/** What a span is about. */
export interface SpanOptions {
  /** `server`: somebody else has asked for it; `client`: somebody else is asked. Default: neither. */
  readonly kind?: 'server' | 'client' | undefined;
  /** Names of things, numbers, codes: nothing that a client has chosen freely, and nothing secret. */
  readonly attributes?: Attributes | undefined;
  /** Only as part of a trace that is being recorded: what happens all the time would be a trace of its own each time. */
  readonly onlyWithin?: boolean | undefined;
  /** What it is part of. Default: the span that is under way here. */
  readonly parent?: Context | undefined;
}

/** A span that is under way. Ending it is up to whoever began it. */
export interface Work {
  /** False: nobody traces it, and nothing has to be followed for its sake. */
  readonly isTraced: boolean;
  /** Does something as part of it: what begins meanwhile, and whatever that leads to, has it as its parent. */
  run<T>(part: () => T): T;
  rename(name: string): void;
  set(attributes: Attributes): void;
  /** Notes that something happened, by name. */
  note(event: string): void;
  /** Ends it, as a failure when there is an error, of which the code alone is told. Only the first call counts. */
  end(error?: unknown): void;
}

/** What there is when nobody traces. */
const NOTHING: Work = {
  isTraced: false,
  run: (part) => part(),
  rename: () => {},
  set: () => {},
  note: () => {},
  end: () => {},
};

const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT } as const;

let tracer: Tracer | undefined;

/** From here on spans are made by this tracer; undefined: there are none. */
export function traceWith(wanted: Tracer | undefined): void {
  tracer = wanted;
}

/** Begins a span. Costs nothing when nobody traces. */
export function beginSpan(name: string, options: SpanOptions = {}): Work {
  if (tracer === undefined) return NOTHING;
  const { kind, attributes = {}, onlyWithin = false, parent = context.active() } = options;
  if (onlyWithin && trace.getSpan(parent)?.isRecording() !== true) return NOTHING;
  const kindOfSpan = kind === undefined ? SpanKind.INTERNAL : KINDS[kind];
  const span = tracer.startSpan(name, { kind: kindOfSpan, attributes }, parent);
  return new SpanWork(span, trace.setSpan(parent, span));
}

/** Does something in a span of its own, and ends that with how it went. */
export async function inSpan<T>(name: string, options: SpanOptions, work: () => Promise<T>): Promise<T> {
  const span = beginSpan(name, options);
  try {
    const result = await span.run(work);
    span.end();
    return result;
  } catch (error) {
    span.end(error);
    throw error;
  }
}

/** Id of the trace that is being recorded here, if one is: for logs. */
export function traceIdOf(): string | undefined {
  if (tracer === undefined) return undefined;
  const span = trace.getActiveSpan();
  return span?.isRecording() === true ? span.spanContext().traceId : undefined;
}

class SpanWork implements Work {
  readonly isTraced = true;
  readonly #span: Span;
  readonly #context: Context;
  #isOver = false;

  constructor(span: Span, spanContext: Context) {
    this.#span = span;
    this.#context = spanContext;
  }

  run<T>(part: () => T): T {
    return context.with(this.#context, part);
  }

  rename(name: string): void {
    this.#span.updateName(name);
  }

  set(attributes: Attributes): void {
    this.#span.setAttributes(attributes);
  }

  note(event: string): void {
    this.#span.addEvent(event);
  }

  end(error?: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (error !== undefined) this.#fail(fromUnknown(error).code);
    this.#span.end();
  }

  /** Messages may name files, commands and whatever else clients have chosen, so only the code is told. */
  #fail(code: string): void {
    this.#span.setAttribute('error.type', code);
    // Who breaks off has what they wanted.
    if (code !== 'cancelled') this.#span.setStatus({ code: SpanStatusCode.ERROR });
  }
}
