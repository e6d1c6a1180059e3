export { type Entry, Guest, GuestError, type GuestProcess, type ProcessInfo } from '@dormouse/guest-link';
export { type HostGuard, installHostGuard } from '@dormouse/network';
export { LATENCY_BOUNDS_US, type Served } from '@dormouse/page-server';
export {
  findKernel,
  findTemplate,
  type Kernel,
  listTemplates,
  type Progress,
  type Template,
} from '@dormouse/rootfs';
export type { Manifest } from '@dormouse/snapshot';
export { type Accelerator, QemuDriver } from '@dormouse/vmm';
export { acceleratorFor, detectKvm, qemuVersion } from './accelerator.js';
export { type PrepareOptions, prepareAssets } from './assets.js';
export type { HostRoom } from './capacity.js';
export type { HostEnvironment, SandboxLog, Step } from './environment.js';
export { type HostConfig, sandboxesDir } from './host-config.js';
export type { HostEvent, HostEventKind, HostEvents } from './host-events.js';
export type { HostFigures } from './host-figures.js';
export { HOST_STATES, type HostState, type Journal, type PauseCause } from './journal.js';
export { MetricsLoop } from './metrics/loop.js';
export type { MetricsPoint } from './metrics/point.js';
export { readMetrics } from './metrics/read.js';
export type { HostObserver } from './observer.js';
export { DEFAULT_POLICY, type Policy } from './policy.js';
export { type GuestUse, type ResumeOptions, Sandbox } from './sandbox.js';
export { type ForkChild, type ForkResult, SandboxHost } from './sandbox-host.js';
export { SANDBOX_ID, type SandboxRequest, type SandboxSpec } from './sandbox-spec.js';
export type { Snapshot } from './snapshots.js';
export { canChangeUser, VM_UIDS } from './vm-users.js';
