import { randomBytes } from 'node:crypto';
import { chown, mkdir, open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import { type Guest, GuestLink } from '@dormouse/guest-link';
import { USER_NETWORK } from '@dormouse/network';
import type { Kernel } from '@dormouse/rootfs';
import type { Accelerator, MicroVm, VmDriver, VmSpec, VmUser } from '@dormouse/vmm';
import type { SandboxPaths } from './host-config.js';
import { endProcessesOf } from './leftovers.js';
import type { SandboxSpec } from './sandbox-spec.js';

const MIB = 1024 * 1024;
const BOOT_ATTEMPTS = 3;
/** Ten times what a boot takes on a busy machine: emulation is slow, and a boot that is not stuck must not be killed. */
const BOOT_TIMEOUT_MS: Readonly<Record<Accelerator, number>> = { kvm: 60_000, tcg: 120_000 };
const SEED_BYTES = 64;

/** A VM whose guest has answered the greeting. */
export interface BootedGuest {
  readonly vm: MicroVm;
  readonly link: GuestLink;
}

/** What a boot needs besides the sandbox's own files. */
export interface BootEnvironment {
  readonly driver: VmDriver;
  readonly accelerator: Accelerator;
  readonly kernel: Kernel;
  /** Told of every attempt that failed, before the next. */
  readonly onFailedAttempt: (error: DormouseError) => void;
}

/** What to boot. */
export interface BootRequest {
  readonly paths: SandboxPaths;
  readonly spec: SandboxSpec;
  /** Absent: the user of this process. */
  readonly user: VmUser | undefined;
  /** Called as soon as there is a process, so that it can be recorded. */
  readonly onStarted: (vm: MicroVm) => Promise<void>;
}

/**
 * Boots a guest and waits for its agent, with a watchdog that starts over when the guest does not come up.
 *
 * @throws DormouseError `boot_failed` after the last attempt
 */
export async function bootGuest(
  environment: BootEnvironment,
  request: BootRequest,
  signal: AbortSignal,
): Promise<BootedGuest> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await bootOnce(environment, request, signal);
    } catch (thrown) {
      const error = fromUnknown(thrown);
      await endProcessesOf(request.paths.runDir);
      if (signal.aborted) throw new DormouseError('cancelled', 'the boot was cancelled', { cause: error });
      if (error.code === 'missing_tool' || attempt === BOOT_ATTEMPTS) {
        throw error.code === 'missing_tool'
          ? error
          : new DormouseError(
              'boot_failed',
              `the guest did not come up in ${attempt} attempts: ${error.message}`,
              {
                cause: error,
                suggestion:
                  'The console log of the sandbox may say more; `./dormouse doctor` checks the host.',
              },
            );
      }
      environment.onFailedAttempt(error);
    }
  }
}

async function bootOnce(
  environment: BootEnvironment,
  request: BootRequest,
  signal: AbortSignal,
): Promise<BootedGuest> {
  const { paths, spec, user } = request;
  await prepareRunFiles(paths, user);
  const vmSpec: VmSpec = {
    runDir: paths.runDir,
    logDir: paths.dir,
    accelerator: environment.accelerator,
    vcpus: spec.vcpus,
    memoryBytes: spec.memoryMb * MIB,
    memoryPath: paths.memory,
    kernelPath: environment.kernel.vmlinuxPath,
    initramfsPath: environment.kernel.initramfsPath,
    diskPath: paths.layer,
    consoleLogPath: paths.consoleLog,
    network: { kind: 'user', restricted: !spec.internet },
    ...(user === undefined ? {} : { user }),
  };
  const vm = await environment.driver.boot(vmSpec, signal);
  try {
    await request.onStarted(vm);
    return { vm, link: await greetGuest(vm, BOOT_TIMEOUT_MS[environment.accelerator], signal) };
  } catch (error) {
    await vm.kill();
    throw error;
  }
}

/** Empty run directory and RAM file, both the VM user's own. */
async function prepareRunFiles(paths: SandboxPaths, user: VmUser | undefined): Promise<void> {
  await rm(paths.runDir, { recursive: true, force: true });
  await mkdir(paths.runDir, { mode: 0o700 });
  await mkdir(dirname(paths.memory), { recursive: true, mode: 0o711 });
  await rm(paths.memory, { force: true });
  const memory = await open(paths.memory, 'wx', 0o600);
  try {
    if (user !== undefined) await memory.chown(user.uid, user.gid);
  } finally {
    await memory.close();
  }
  if (user !== undefined) await chown(paths.runDir, user.uid, user.gid);
}

/** The greeting is answered when the guest's agent is up; a VM that ends before that fails it at once. */
async function greetGuest(vm: MicroVm, timeoutMs: number, signal: AbortSignal): Promise<GuestLink> {
  const over = new AbortController();
  const ended = vm.exited.then((exit) => {
    throw new DormouseError(
      'boot_failed',
      `the VM ended while booting${exit.log === '' ? '' : `: ${exit.log}`}`,
    );
  });
  ended.catch(() => {});
  const link = GuestLink.connect(vm.guestSocketPath, {
    attach: false,
    greetTimeoutMs: timeoutMs,
    signal: AbortSignal.any([signal, over.signal]),
  });
  try {
    return await Promise.race([link, ended]);
  } catch (error) {
    over.abort();
    void link.then((late) => late.close()).catch(() => {});
    throw error;
  }
}

/**
 * Gives a fresh guest what must be its own before any command runs: clock, entropy, name, environment, network.
 * Without internet the interface stays down, so that attempts fail at once instead of waiting for nobody.
 */
export async function configureGuest(guest: Guest, spec: SandboxSpec): Promise<void> {
  const { guestAddress, gateway, nameServer } = USER_NETWORK;
  await Promise.all([
    guest.setClock(BigInt(Date.now()) * 1_000_000n),
    guest.addEntropy(randomBytes(SEED_BYTES), { reseed: true }),
    guest.configure({
      hostname: spec.hostname,
      defaultUser: spec.user,
      environment: spec.envs,
      replaceEnvironment: true,
    }),
    guest.configureNetwork(spec.internet ? { address: guestAddress, gateway, nameServer } : { address: '' }),
  ]);
}
