/** The processor that runs guest code: hardware virtualisation, or QEMU's software emulation. */
export type Accelerator = 'kvm' | 'tcg';

/** How a guest's network interface is connected. */
export type NetworkAttachment =
  /** User-mode network of the VMM: the guest reaches out, nothing reaches in. `restricted` cuts it off from everything. */
  { readonly kind: 'user'; readonly restricted: boolean };

/** The user a VM process runs as. */
export interface VmUser {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups, e.g. the one that may open /dev/kvm. */
  readonly groups: readonly number[];
}

/** Everything needed to boot one VM. Paths are absolute. */
export interface VmSpec {
  /** Directory for the VM's sockets; it exists and the VM's user may write to it. */
  readonly runDir: string;
  /** Directory for logs, which only the caller may write to: a VM must not choose where a log goes. */
  readonly logDir: string;
  readonly accelerator: Accelerator;
  readonly vcpus: number;
  readonly memoryBytes: number;
  /** Guest RAM: a file on tmpfs, shared, so that it outlives the process and can be read while the VM is stopped. */
  readonly memoryPath: string;
  /** Uncompressed ELF kernel image (vmlinux with a PVH note). */
  readonly kernelPath: string;
  readonly initramfsPath: string;
  /** Topmost qcow2 layer of the root disk, written by this VM only. */
  readonly diskPath: string;
  readonly network: NetworkAttachment;
  /** Absent: the user of the calling process. */
  readonly user?: VmUser;
}

/** How a VM came to its end. */
export interface VmExit {
  /** Exit code of the process where it is known (it is not after a re-attach). */
  readonly exitCode?: number;
  readonly signal?: string;
  /** The last lines the VM process wrote about itself. */
  readonly log: string;
}

/** One running VM. Whoever booted or attached it owns it and lets it go with `detach` or ends it with `kill`. */
export interface MicroVm {
  readonly pid: number;
  /** Start time of the process in clock ticks since boot: with the pid, its identity. */
  readonly startTicks: number;
  /** Unix socket of the guest link. One client at a time; a new one may connect after the old has gone. */
  readonly guestSocketPath: string;
  /** Resolves when the process has ended, for whatever reason. Never rejects. */
  readonly exited: Promise<VmExit>;
  /** Ends the process at once and waits until it is gone. Idempotent. */
  kill(): Promise<void>;
  /** Lets go of the VM without ending it: closes what this object holds open. Idempotent. */
  detach(): void;
}

/** How to find a VM again after the process that booted it has died. */
export interface VmIdentity {
  readonly runDir: string;
  readonly logDir: string;
  readonly pid: number;
  readonly startTicks: number;
}

/** A virtual machine monitor. */
export interface VmDriver {
  /**
   * Starts a VM. Answers when the processor runs, which is before the guest's user space is up.
   *
   * @throws DormouseError `boot_failed` with the VMM's own words when it refuses to start
   */
  boot(spec: VmSpec, signal?: AbortSignal): Promise<MicroVm>;
  /** Finds a VM that is still running; undefined when it is not, or when the pid belongs to somebody else by now. */
  attach(identity: VmIdentity): Promise<MicroVm | undefined>;
}
