export { LATENCY_BOUNDS_US } from '@dormouse/qemu-stream';
export type { Captured, Served } from './jobs.js';
export { PageServer, type Serving } from './page-server.js';
export { PageServerPool, type PoolOptions } from './page-server-pool.js';
