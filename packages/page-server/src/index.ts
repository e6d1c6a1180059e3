export type { Captured, Served } from './jobs.js';
export { PageServer, type Serving } from './page-server.js';
export { PageServerPool, type PoolOptions } from './page-server-pool.js';
