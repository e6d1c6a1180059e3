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
export { type GuestUse, Sandbox } from './actor/sandbox.js';
export type { ResumeOptions } from './actor/wake-up.js';
export { acceleratorFor, detectKvm, qemuVersion } from './config/accelerator.js';
export { type PrepareOptions, prepareAssets } from './config/assets.js';
export { type HostConfig, sandboxesDir } from './config/host-config.js';
export { DEFAULT_POLICY, type Policy } from './config/policy.js';
export { SANDBOX_ID, type SandboxRequest, type SandboxSpec } from './config/sandbox-spec.js';
export type { HostRoom } from './disk/capacity.js';
export type { HostEnvironment, SandboxLog, Step } from './environment.js';
export type { HostFigures } from './host/host-figures.js';
export { type CommandDefaults, type ForkChild, type ForkResult, SandboxHost } from './host/sandbox-host.js';
export { MetricsLoop } from './metrics/loop.js';
export type { MetricsPoint } from './metrics/point.js';
export { readMetrics } from './metrics/read.js';
export type { HostObserver } from './observation/observer.js';
export type { HostEvent, HostEventKind, HostEvents } from './records/host-events.js';
export { HOST_STATES, type HostState, type Journal, type PauseCause } from './records/journal.js';
export type { Snapshot } from './records/snapshots.js';
export { canChangeUser, VM_UIDS } from './vm/vm-users.js';
