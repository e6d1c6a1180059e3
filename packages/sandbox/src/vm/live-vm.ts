import { type DormouseError, fromUnknown } from '@dormouse/errors';
import type { GuestLink } from '@dormouse/guest-link';
import type { Served } from '@dormouse/page-server';
import type { Manifest } from '@dormouse/snapshot';
import type { MicroVm } from '@dormouse/vmm';
import type { SandboxLog } from '../config/sandbox-log.js';
import type { Disk } from '../disk/disk.js';
import type { GuestSession } from './guest-session.js';
import { wakeAgain } from './identity.js';
import type { VmSlot } from './vm-slots.js';

const SHUTDOWN_GRACE_MS = 3_000;
const SHUTDOWN_TIMEOUT_MS = 15_000;

/** A VM that has just come to life, by boot or by restore. */
export interface StartedVm {
  readonly slot: VmSlot;
  readonly vm: MicroVm;
  readonly link: GuestLink;
  readonly disk: Disk;
  /** The restore, until all memory is there; absent after a boot. Never rejects. */
  readonly loading?: Promise<Served | DormouseError>;
}

/** A VM and what belongs to it. */
export interface LiveVm {
  readonly slot: VmSlot;
  readonly vm: MicroVm;
  readonly session: GuestSession;
  readonly loading: Promise<Served | DormouseError> | undefined;
}

/** Whether a VM has ended already. */
export async function hasEnded(vm: MicroVm): Promise<boolean> {
  const over = Symbol('over');
  return (await Promise.race([vm.exited, Promise.resolve(over)])) !== over;
}

/** Lets a VM that stands still go on. False when it has ended. */
export async function goOn(
  { vm, session }: LiveVm,
  kind: Manifest['kind'],
  cause: DormouseError | undefined,
  log: SandboxLog,
): Promise<boolean> {
  if (cause !== undefined) log.warn({ err: cause }, 'the freeze failed; the sandbox runs on');
  try {
    await vm.thaw();
    const guest = await session.guest();
    if (kind === 'disk') await guest.thaw();
    await wakeAgain(guest);
    return true;
  } catch (thrown) {
    const error = fromUnknown(thrown);
    if (await hasEnded(vm)) return false;
    log.warn({ err: error }, 'the guest does not confirm that it goes on');
    return (await vm.loading().catch(() => undefined)) !== undefined;
  }
}

/** Asks a guest to end by itself, and waits for that a little. */
export async function powerOff(live: LiveVm | undefined, log: SandboxLog): Promise<void> {
  if (live === undefined) return;
  const patience = AbortSignal.timeout(SHUTDOWN_TIMEOUT_MS);
  try {
    const guest = await live.session.guest();
    await guest.shutdown('powerOff', { graceMs: SHUTDOWN_GRACE_MS, signal: patience });
    await Promise.race([
      live.vm.exited,
      new Promise((resolve) => patience.addEventListener('abort', resolve)),
    ]);
  } catch (error) {
    log.warn({ err: fromUnknown(error) }, 'the guest did not shut down');
  }
}
