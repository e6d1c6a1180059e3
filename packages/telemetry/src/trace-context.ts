import { type Context, context, propagation, ROOT_CONTEXT, trace } from '@opentelemetry/api';

/** Headers, as `fetch` has them. */
interface Headers {
  get(name: string): string | null;
  set(name: string, value: string): void;
}

/** What the sender of these headers was doing (W3C Trace Context); undefined when it says nothing or nobody traces. */
export function remoteParent(headers: Pick<Headers, 'get'>): Context | undefined {
  const getter = { get: (_: unknown, name: string) => headers.get(name) ?? undefined, keys: () => [] };
  const parent = propagation.extract(ROOT_CONTEXT, headers, getter);
  return trace.getSpanContext(parent) === undefined ? undefined : parent;
}

/** Tells the receiver of these headers what is under way here. */
export function sendParent(headers: Pick<Headers, 'set'>): void {
  propagation.inject(context.active(), headers, { set: (to, name, value) => to.set(name, value) });
}
