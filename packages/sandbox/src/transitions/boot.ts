import { DormouseError, fromUnknown } from '@dormouse/errors';
import { Guest, GuestLink } from '@dormouse/guest-link';
import type { DiskBacking } from '@dormouse/snapshot';
import type { Accelerator, MicroVm } from '@dormouse/vmm';
import { everyStep } from '../concurrency/every-step.js';
import type { SandboxSpec } from '../config/sandbox-spec.js';
import type { Disk } from '../disk/disk.js';
import type { SandboxEnvironment } from '../environment.js';
import { inPhases } from '../observation/phases.js';
import { wakeNew } from '../vm/identity.js';
import type { StartedVm } from '../vm/live-vm.js';
import { machineSpec } from '../vm/machine.js';
import type { VmSlot } from '../vm/vm-slots.js';

const BOOT_ATTEMPTS = 3;
/** Ten times what a boot takes on a busy machine: emulation is slow, and a boot that is not stuck must not be killed. */
const BOOT_TIMEOUT_MS: Readonly<Record<Accelerator, number>> = { kvm: 60_000, tcg: 120_000 };

/** What to boot. */
export interface BootRequest {
  readonly spec: SandboxSpec;
  /** What the disk begins with. */
  readonly base: DiskBacking;
  readonly consoleLogPath: string;
  /** Told of every attempt that failed, before the next. */
  readonly onFailedAttempt: (error: DormouseError) => void;
}

/**
 * Boots a guest with a new disk layer, waits for its agent, and gives it what is its own. A watchdog starts over when
 * the guest does not come up. Nothing is left when it fails.
 *
 * @throws DormouseError `boot_failed` after the last attempt, `missing_tool`, `cancelled`, `no_capacity`
 */
export async function bootVm(
  environment: SandboxEnvironment,
  request: BootRequest,
  signal: AbortSignal,
): Promise<StartedVm> {
  const { slots, layers } = environment;
  const slot = await slots.take();
  let disk: Disk | undefined;
  try {
    for (let attempt = 1; ; attempt++) {
      disk = await layers.onBase(request.base, slot.user);
      try {
        const { vm, link } = await bootOnce(environment, request, slot, layers.path(disk.layers[0]!), signal);
        return { slot, vm, link, disk };
      } catch (thrown) {
        const error = fromUnknown(thrown);
        await slots.clear(slot);
        await layers.removeTop(disk);
        if (signal.aborted) throw new DormouseError('cancelled', 'the boot was cancelled', { cause: error });
        if (error.code === 'missing_tool') throw error;
        if (attempt === BOOT_ATTEMPTS) throw lastFailure(attempt, error);
        request.onFailedAttempt(error);
      }
    }
  } catch (error) {
    await everyStep(
      () => slots.release(slot),
      () => (disk === undefined ? undefined : layers.removeTop(disk)),
    ).catch((problem: unknown) => {
      environment.log.warn({ err: fromUnknown(problem) }, 'could not free all that a failed boot has held');
    });
    throw error;
  }
}

function lastFailure(attempt: number, error: DormouseError): DormouseError {
  return new DormouseError(
    'boot_failed',
    `the guest did not come up in ${attempt} attempts: ${error.message}`,
    {
      cause: error,
      suggestion: 'The console log of the sandbox may say more; `./dormouse doctor` checks the host.',
    },
  );
}

function bootOnce(
  environment: SandboxEnvironment,
  { spec, consoleLogPath }: BootRequest,
  slot: VmSlot,
  diskPath: string,
  signal: AbortSignal,
): Promise<{ readonly vm: MicroVm; readonly link: GuestLink }> {
  const { kernel, driver, accelerator } = environment;
  const machine = {
    ...machineSpec(environment, spec, slot),
    kernelPath: kernel.vmlinuxPath,
    initramfsPath: kernel.initramfsPath,
    diskPath,
    consoleLogPath,
  };
  return inPhases(environment, 'boot', async (phase) => {
    const vm = await phase('start', () => driver.boot(machine, signal));
    try {
      const link = await phase('greet', () => greetGuest(vm, BOOT_TIMEOUT_MS[accelerator], signal));
      await phase('wake', () => wakeNew(new Guest(link), spec, environment.log));
      return { vm, link };
    } catch (error) {
      await vm.kill();
      throw error;
    }
  });
}

/** The greeting is answered when the guest's agent is up; a VM that ends before that fails it at once. */
export async function greetGuest(vm: MicroVm, timeoutMs: number, signal: AbortSignal): Promise<GuestLink> {
  const over = new AbortController();
  const ended = vm.exited.then((exit) => {
    throw new DormouseError(
      'boot_failed',
      `the VM ended while starting${exit.log === '' ? '' : `: ${exit.log}`}`,
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
