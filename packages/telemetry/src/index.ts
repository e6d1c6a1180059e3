export { beginSpan, inSpan, type SpanOptions, traceIdOf, type Work } from './span.js';
export { startTracing } from './start.js';
export { inStream } from './stream.js';
export { remoteParent, sendParent } from './trace-context.js';
