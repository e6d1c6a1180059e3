export { LATENCY_BOUNDS_US } from '@dormouse/qemu-stream';
export { capture } from './capture.js';
export type { Captured, CaptureJob, Served, ServeJob } from './jobs.js';
export type { MemoryServer, MemoryServers, Serving } from './memory-servers.js';
export { PageServer } from './page-server.js';
export { PageServerPool } from './page-server-pool.js';
