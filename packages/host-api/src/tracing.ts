import type { Interceptor, StreamResponse, UnaryResponse } from '@connectrpc/connect';
import { beginSpan, inStream, remoteParent, sendParent, type Work } from '@dormouse/telemetry';
import { fromConnectError } from './errors.js';

const SANDBOX_ID = /^sb[a-z0-9]{20}$/;

type Call = Parameters<ReturnType<Interceptor>>[0];

/** Makes a span of every call that is part of a trace, and tells the host what it is part of. */
export const traceCalls: Interceptor = (next) => (request) => {
  const work = beginSpan(nameOf(request), { kind: 'client', attributes: about(request), onlyWithin: true });
  // Streams of bytes pass through here: they take no step more for a trace that nobody makes.
  if (!work.isTraced) return next(request);
  return follow(request, work, () => {
    sendParent(request.header);
    return next(request);
  });
};

/** Makes a span of every call that comes as part of a trace. */
export const traceHandlers: Interceptor = (next) => (request) => {
  const parent = remoteParent(request.header);
  if (parent === undefined) return next(request);
  const work = beginSpan(nameOf(request), { kind: 'server', attributes: about(request), parent });
  return follow(request, work, () => next(request));
};

/** Ends the span with the call: a stream's with its end, or when whoever reads it goes away. */
async function follow(
  request: Call,
  work: Work,
  next: () => Promise<UnaryResponse | StreamResponse>,
): Promise<UnaryResponse | StreamResponse> {
  try {
    const response = await work.run(next);
    if (!response.stream) {
      work.end();
      return response;
    }
    // Who has never begun to read, or will never read on, ends it too; at its proper end that comes first.
    const { signal } = request;
    const onAbort = (): void => void setImmediate(() => work.end(fromConnectError(signal.reason)));
    signal.addEventListener('abort', onAbort, { once: true });
    return { ...response, message: inStream(response.message, work, fromConnectError) };
  } catch (error) {
    work.end(fromConnectError(error));
    throw error;
  }
}

function nameOf({ service, method }: Call): string {
  return `${service.typeName}/${method.name}`;
}

/** What is called, and for which sandbox. */
function about(request: Call) {
  const { service, method, stream, message } = request;
  const named = stream ? {} : (message as { readonly id?: unknown; readonly sandboxId?: unknown });
  const id = named.sandboxId ?? named.id;
  return {
    'rpc.system': 'connect_rpc',
    'rpc.service': service.typeName,
    'rpc.method': method.name,
    ...(typeof id === 'string' && SANDBOX_ID.test(id) ? { 'dormouse.sandbox.id': id } : {}),
  };
}
