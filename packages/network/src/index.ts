export { guardRules, type HostGuard, installHostGuard, type UidRange } from './host-guard.js';
export { USER_NETWORK } from './user-network.js';
