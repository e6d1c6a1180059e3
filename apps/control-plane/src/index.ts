export { createApi } from './api.js';
export type { Services } from './context.js';
