import { join } from 'node:path';
import type { Accelerator, NetworkAttachment, StandbySpec, VmSpec } from '../micro-vm.js';
import type { QemuFeatures } from './features.js';

/** Name of the virtio-serial port that carries the guest link (guest/PROTOCOL.md). */
export const GUEST_PORT_NAME = 'dormouse.guest.0';

/** Sockets of a VM, all below its run directory. */
export interface VmSockets {
  readonly qmp: string;
  readonly guest: string;
  readonly console: string;
}

/** Where a VM's sockets are. */
export function vmSockets(runDir: string): VmSockets {
  return {
    qmp: join(runDir, 'qmp.sock'),
    guest: join(runDir, 'guest.sock'),
    console: join(runDir, 'console.sock'),
  };
}

/** What the kernel command line depends on. */
export interface KernelCommandLineOptions {
  readonly accelerator: Accelerator;
  /** Frequency of the host's time-stamp counter in kHz, where it is known. */
  readonly hostTscKhz?: number;
}

/** BogoMIPS are derived from loops per jiffy at HZ=250: `lpj = kHz * 1000 / 250`. */
const LOOPS_PER_JIFFY_PER_KHZ = 4;

/**
 * The guest kernel's command line.
 *
 * `reboot=t panic=-1`: a panic or restart triple-faults at once, which ends QEMU (`-no-reboot`).
 * Under emulation the TSC is the host's: without `tsc_early_khz` calibration races with a busy host and about
 * half of the boots hang before their first message; `lpj=` spares the delay-loop calibration for the same reason.
 * Emulated processors do not speculate, so mitigations there only cost time.
 */
export function kernelCommandLine(options: KernelCommandLineOptions): string {
  const words = [
    'console=ttyS0',
    'quiet',
    'reboot=t',
    'panic=-1',
    '8250.nr_uarts=1',
    'rcupdate.rcu_expedited=1',
    'cryptomgr.notests',
    'random.trust_cpu=on',
    'raid=noautodetect',
  ];
  if (options.accelerator === 'tcg') {
    words.push('mitigations=off', 'no_timer_check');
    if (options.hostTscKhz !== undefined) {
      words.push(
        `tsc_early_khz=${options.hostTscKhz}`,
        `lpj=${options.hostTscKhz * LOOPS_PER_JIFFY_PER_KHZ}`,
      );
    }
  }
  return words.join(' ');
}

/**
 * Everything emulation offers but what makes it slower: string instructions that are announced as fast are emulated
 * byte by byte, and a fifth level of page tables is one more step in every walk.
 */
export const EMULATED_CPU = 'max,-erms,-fsrm,-la57';

/** QEMU's machine without PCI and firmware. */
export const MACHINE_TYPE = 'microvm';

function acceleratorArguments(accelerator: Accelerator): string[] {
  return accelerator === 'kvm'
    ? ['-accel', 'kvm', '-cpu', 'host']
    : ['-accel', 'tcg,thread=multi,tb-size=256', '-cpu', EMULATED_CPU];
}

function networkArguments(network: NetworkAttachment): string[] {
  const restrict = network.restricted ? 'on' : 'off';
  return [
    '-netdev',
    `user,id=net0,ipv6=off,restrict=${restrict}`,
    '-device',
    'virtio-net-device,netdev=net0,mac=52:54:00:64:6f:72',
  ];
}

/** QEMU writes a comma inside an option value as two. */
function optionValue(value: string): string {
  return value.replaceAll(',', ',,');
}

function socketChardev(id: string, path: string): string[] {
  return ['-chardev', `socket,id=${id},path=${optionValue(path)},server=on,wait=off`];
}

/**
 * The root disk is a node that never changes, over the topmost layer, which does: a snapshot puts another layer there,
 * and a process that waits for a saved VM has no layer yet.
 */
const ROOT_NODE = 'root';
/** Stands below the root node as long as there is no layer. */
export const HOLLOW_NODE = 'hollow';
/** Layers are numbered in the order they came. */
export function layerNode(index: number): string {
  return `layer-${index}`;
}

/** The number of the topmost layer among the names of all nodes; -1 when there is none. */
export function topmostLayer(nodes: readonly string[]): number {
  return Math.max(-1, ...nodes.map((name) => Number(/^layer-(\d+)$/.exec(name)?.[1] ?? -1)));
}

/** A layer as `blockdev-add` and, flattened, `-blockdev` know it. */
export function layerOptions(index: number, path: string): Readonly<Record<string, unknown>> {
  const file = { driver: 'file', filename: path, discard: 'unmap' };
  return { driver: 'qcow2', 'node-name': layerNode(index), discard: 'unmap', file };
}

/** The root node over another one, as `blockdev-reopen` and, flattened, `-blockdev` know it. */
export function rootOptions(below: string): Readonly<Record<string, unknown>> {
  return { driver: 'raw', 'node-name': ROOT_NODE, file: below };
}

function diskArguments(spec: VmSpec | StandbySpec): string[] {
  if ('diskPath' in spec) {
    const file = `file.driver=file,file.filename=${optionValue(spec.diskPath)},file.discard=unmap`;
    return [
      '-blockdev',
      `driver=qcow2,node-name=${layerNode(0)},discard=unmap,${file}`,
      '-blockdev',
      `driver=raw,node-name=${ROOT_NODE},file=${layerNode(0)}`,
    ];
  }
  return [
    '-blockdev',
    `driver=null-co,node-name=${HOLLOW_NODE},size=${spec.diskBytes},read-zeroes=on`,
    '-blockdev',
    `driver=raw,node-name=${ROOT_NODE},file=${HOLLOW_NODE}`,
  ];
}

/** No obsolete calls, no other users, no further processes, no priorities or affinities. */
const SYSTEM_CALL_FILTER = 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny';

/**
 * The arguments of `qemu-system-x86_64` for a VM that stands still until `cont`, or waits for a saved one.
 *
 * virtio-mmio devices only, no firmware devices beyond what the microvm machine needs. The memory backend is
 * named in the machine option because `-M microvm` under TCG wants it so; its id is the RAM block's name.
 */
export function qemuArguments(
  spec: VmSpec | StandbySpec,
  commandLine: string,
  features: QemuFeatures,
): string[] {
  const sockets = vmSockets(spec.runDir);
  const isBoot = 'diskPath' in spec;
  return [
    '-nodefaults',
    '-no-user-config',
    '-no-reboot',
    '-display',
    'none',
    ...(isBoot ? ['-S'] : ['-incoming', 'defer']),
    '-name',
    'dormouse',
    ...(features.seccomp ? ['-sandbox', SYSTEM_CALL_FILTER] : []),
    '-M',
    `${MACHINE_TYPE},acpi=on,rtc=on,isa-serial=on,memory-backend=ram`,
    ...acceleratorArguments(spec.accelerator),
    '-smp',
    String(spec.vcpus),
    '-m',
    `${spec.memoryBytes}B`,
    '-object',
    `memory-backend-file,id=ram,size=${spec.memoryBytes}B,mem-path=${optionValue(spec.memoryPath)},share=on`,
    ...(isBoot ? ['-kernel', spec.kernelPath, '-initrd', spec.initramfsPath, '-append', commandLine] : []),
    ...socketChardev('qmp', sockets.qmp),
    '-mon',
    'chardev=qmp,mode=control',
    ...socketChardev('console', sockets.console),
    '-serial',
    'chardev:console',
    ...socketChardev('guest', sockets.guest),
    '-device',
    'virtio-serial-device,max_ports=2',
    '-device',
    `virtserialport,chardev=guest,name=${GUEST_PORT_NAME}`,
    ...diskArguments(spec),
    '-device',
    `virtio-blk-device,drive=${ROOT_NODE}`,
    '-object',
    'rng-random,id=rng0,filename=/dev/urandom',
    '-device',
    'virtio-rng-device,rng=rng0',
    ...networkArguments(spec.network),
  ];
}

/**
 * The whole command: QEMU under `setpriv` when it shall run as another user. CAP_SYS_PTRACE stays ambient
 * because a lazy restore needs userfaultfd, which kernels reserve for the privileged (vm.unprivileged_userfaultfd=0).
 */
export function qemuCommand(
  spec: VmSpec | StandbySpec,
  commandLine: string,
  features: QemuFeatures,
): readonly [string, ...string[]] {
  const qemu = ['qemu-system-x86_64', ...qemuArguments(spec, commandLine, features)] as const;
  if (spec.user === undefined) return qemu;
  const groups =
    spec.user.groups.length === 0 ? ['--clear-groups'] : [`--groups=${spec.user.groups.join(',')}`];
  return [
    'setpriv',
    `--reuid=${spec.user.uid}`,
    `--regid=${spec.user.gid}`,
    ...groups,
    '--inh-caps=-all,+sys_ptrace',
    '--ambient-caps=-all,+sys_ptrace',
    '--bounding-set=-all,+sys_ptrace',
    '--',
    ...qemu,
  ];
}
