export { connectHost, type HostClient, HTTP2_WINDOW_BYTES } from './client.js';
export { fromConnectError, toConnectError } from './errors.js';
export * from './gen/dormouse/host/v1/host_pb.js';
export { traceHandlers } from './tracing.js';
