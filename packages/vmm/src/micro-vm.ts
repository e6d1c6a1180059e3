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

/** The machine itself, apart from what is on its disk. Paths are absolute. */
export interface MachineSpec {
  /** Directory for the VM's sockets; it exists and the VM's user may write to it. */
  readonly runDir: string;
  /** Directory for the VMM's own log, which only the caller may write to: a VM must not choose where a log goes. */
  readonly logDir: string;
  readonly accelerator: Accelerator;
  readonly vcpus: number;
  readonly memoryBytes: number;
  /** Guest RAM: a file on tmpfs, shared, so that it outlives the process and can be read while the VM is stopped. */
  readonly memoryPath: string;
  readonly network: NetworkAttachment;
  /** Absent: the user of the calling process. */
  readonly user?: VmUser;
}

/** What a VM gets when it begins to live. Paths are absolute. */
export interface VmLife {
  /** Topmost qcow2 layer of the root disk, written by this VM only. */
  readonly diskPath: string;
  /** File that what the guest prints on its console is added to. */
  readonly consoleLogPath: string;
}

/** Everything needed to boot one VM. */
export interface VmSpec extends MachineSpec, VmLife {
  /** Uncompressed ELF kernel image (vmlinux with a PVH note). */
  readonly kernelPath: string;
  readonly initramfsPath: string;
}

/** Everything needed to have a VMM process wait for a saved VM, which brings its kernel with its memory. */
export interface StandbySpec extends MachineSpec {
  /** Size of the disk the saved VM has. */
  readonly diskBytes: number;
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
  /**
   * Stops the processor, writes what the disk's caches hold, and saves the state of all devices. The memory file holds
   * still until `thaw`. A VM that was frozen stays so when this fails.
   *
   * @returns the saved migration stream, without memory; some 70 kB
   * @throws DormouseError `pause_failed`
   */
  freeze(signal?: AbortSignal): Promise<Uint8Array>;
  /** Lets a stopped VM run on, whatever it was stopped by; one that runs already does. */
  thaw(): Promise<void>;
  /**
   * Puts a new, empty qcow2 layer on top of the disk of a stopped VM: what was the topmost is written no more.
   *
   * @param path the layer, whose header names the present topmost one as its backing file
   */
  pushLayer(path: string): Promise<void>;
  /** Whether a restore still goes on: `broken` when the rest of the memory will never come. */
  loading(): Promise<'done' | 'loading' | 'broken'>;
  /** Path of the layer the VM writes to. */
  topLayer(): Promise<string>;
  /** Adds what the guest prints from now on to another file. */
  moveConsoleLog(path: string): void;
  /** Ends the process at once and waits until it is gone. Idempotent. */
  kill(): Promise<void>;
  /** Lets go of the VM without ending it: closes what this object holds open. Idempotent. */
  detach(): void;
}

/** How to find a VM again after the process that booted it has died. */
export interface VmIdentity {
  readonly runDir: string;
  readonly logDir: string;
  readonly consoleLogPath: string;
  readonly pid: number;
  readonly startTicks: number;
}

/** A VMM process that has no guest yet. Whoever made it owns it and ends it with `kill`, unless it is restored. */
export interface StandbyVm {
  readonly pid: number;
  readonly startTicks: number;
  /** Resolves when the process has ended, for whatever reason. Never rejects. */
  readonly exited: Promise<VmExit>;
  /**
   * Gives it a disk and makes it listen for a saved VM. Answers when it listens; the guest runs, by itself, as soon as
   * a source that connects has sent the devices (packages/qemu-stream).
   *
   * @param incomingPath the socket to listen at, below the run directory
   * @throws DormouseError `restore_failed`
   */
  restore(life: VmLife, incomingPath: string): Promise<MicroVm>;
  kill(): Promise<void>;
}

/** A virtual machine monitor. */
export interface VmDriver {
  /**
   * What device state depends on besides the machine's own size and kernel: it is restored only where all of this is
   * the same. Facts by name.
   */
  facts(accelerator: Accelerator): Promise<Readonly<Record<string, string | number>>>;
  /**
   * Starts a VM. Answers when the processor runs, which is before the guest's user space is up.
   *
   * @throws DormouseError `boot_failed` with the VMM's own words when it refuses to start
   */
  boot(spec: VmSpec, signal?: AbortSignal): Promise<MicroVm>;
  /**
   * Starts a process that waits for a saved VM, with the memory file empty.
   *
   * @throws DormouseError `boot_failed`
   */
  standBy(spec: StandbySpec, signal?: AbortSignal): Promise<StandbyVm>;
  /**
   * Finds a VM that is still running; undefined when it is not, or when the pid belongs to somebody else by now.
   *
   * @param timeoutMs how long it may take to answer, default 30,000
   * @throws DormouseError when it does not answer
   */
  attach(identity: VmIdentity, timeoutMs?: number): Promise<MicroVm | undefined>;
}
