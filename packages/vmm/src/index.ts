export { readConsoleLog } from './console-log.js';
export type {
  Accelerator,
  MachineSpec,
  MicroVm,
  NetworkAttachment,
  StandbySpec,
  StandbyVm,
  VmDriver,
  VmExit,
  VmIdentity,
  VmSpec,
  VmUser,
} from './micro-vm.js';
export { isSameProcess, processStartTicks } from './process-identity.js';
export { qemuArguments, vmSockets } from './qemu/arguments.js';
export { QemuDriver } from './qemu/driver.js';
export { type KvmVerdict, probeKvm } from './qemu/probe-kvm.js';
export { QmpClient } from './qemu/qmp.js';
