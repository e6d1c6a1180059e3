import { basename } from 'node:path';
import { DormouseError } from '@dormouse/errors';
import type { Kernel } from '@dormouse/rootfs';
import { compareMachine, describeDifferences, type MachineFacts, type Manifest } from '@dormouse/snapshot';
import type { Accelerator, MachineSpec, VmDriver } from '@dormouse/vmm';
import type { SandboxSpec } from '../config/sandbox-spec.js';
import type { VmSlot } from './vm-slots.js';

const MIB = 1024 * 1024;
const PAGE_BYTES = 4096;

/** What machines are made with. */
export interface MachineEnvironment {
  readonly driver: VmDriver;
  readonly accelerator: Accelerator;
  readonly kernel: Kernel;
}

/** Pages of a sandbox's memory. */
export function pageCountOf(spec: Pick<SandboxSpec, 'memoryMb'>): number {
  return (spec.memoryMb * MIB) / PAGE_BYTES;
}

/** The machine a sandbox runs on, apart from its disk. */
export function machineSpec(
  environment: Pick<MachineEnvironment, 'accelerator'>,
  spec: Pick<SandboxSpec, 'vcpus' | 'memoryMb' | 'internet'>,
  slot: VmSlot,
): MachineSpec {
  return {
    runDir: slot.runDir,
    logDir: slot.dir,
    accelerator: environment.accelerator,
    vcpus: spec.vcpus,
    memoryBytes: spec.memoryMb * MIB,
    memoryPath: slot.memoryPath,
    network: { kind: 'user', restricted: !spec.internet },
    ...(slot.user === undefined ? {} : { user: slot.user }),
  };
}

/** Everything that the saved state of a sandbox's devices depends on. */
export async function machineFacts(
  environment: MachineEnvironment,
  spec: SandboxSpec,
): Promise<MachineFacts> {
  return {
    ...(await environment.driver.facts(environment.accelerator)),
    kernel: environment.kernel.version,
    agent: basename(environment.kernel.initramfsPath),
    vcpus: spec.vcpus,
    memoryMb: spec.memoryMb,
    diskBytes: spec.diskBytes,
  };
}

/**
 * Refuses to load memory into another machine than it was saved on. The guest agent is part of the memory, so one of
 * another version comes along with it; the guest link is versioned.
 *
 * @throws DormouseError `snapshot_incompatible`, naming what differs
 */
export async function assertSameMachine(
  environment: MachineEnvironment,
  manifest: Manifest,
  spec: SandboxSpec,
): Promise<void> {
  const { agent: _saved, ...saved } = manifest.machine;
  const { agent: _present, ...present } = await machineFacts(environment, spec);
  const differences = compareMachine(saved, present);
  if (differences.length === 0) return;
  throw new DormouseError(
    'snapshot_incompatible',
    `the memory was saved on another machine: ${describeDifferences(differences)}`,
    { suggestion: 'Resume it with a reboot: its disk does not depend on the machine.' },
  );
}
