import type { WaitOptions } from './abort.js';
import type { GuestLink } from './guest-link.js';
import { MESSAGE, OPERATION } from './protocol.js';
import { command, QUICK_TIMEOUT_MS, request, SLOW_TIMEOUT_MS, type WarnedOptions } from './requests.js';
import {
  decodeHeld,
  decodeInfo,
  decodeMetrics,
  encodeClock,
  encodeConfigure,
  encodeEntropy,
  encodeHold,
  encodeNetwork,
  encodeShutdown,
  encodeWake,
  type GuestConfiguration,
  type GuestInfo,
  type GuestMetrics,
  type GuestNetwork,
  type GuestWake,
  type ShutdownKind,
} from './system-codec.js';

const NO_ARGUMENTS = new Uint8Array();

/** Names the guest and says how it starts processes. */
export async function configure(
  link: GuestLink,
  configuration: GuestConfiguration,
  options: WarnedOptions,
): Promise<void> {
  const operation = {
    what: 'configure the guest',
    operation: OPERATION.configure,
    args: encodeConfigure(configuration),
  };
  return command(link, operation, { timeoutMs: QUICK_TIMEOUT_MS, ...options });
}

/** Steps the guest's clock. */
export async function setClock(link: GuestLink, unixNs: bigint, options: WaitOptions): Promise<void> {
  const operation = {
    what: 'set the clock',
    operation: OPERATION.clockSet,
    args: encodeClock(unixNs),
  };
  return command(link, operation, { timeoutMs: QUICK_TIMEOUT_MS, ...options });
}

/** Credits bytes to the kernel's entropy pool. */
export async function addEntropy(
  link: GuestLink,
  bytes: Uint8Array,
  options: WaitOptions & { readonly reseed?: boolean },
): Promise<void> {
  const { reseed = false, ...wait } = options;
  const operation = {
    what: 'add entropy',
    operation: OPERATION.entropyAdd,
    args: encodeEntropy(bytes, reseed),
  };
  return command(link, operation, { timeoutMs: QUICK_TIMEOUT_MS, ...wait });
}

/** Writes all file systems out. */
export async function sync(link: GuestLink, options: WaitOptions): Promise<void> {
  const operation = { what: 'sync', operation: OPERATION.sync, args: NO_ARGUMENTS };
  return command(link, operation, { timeoutMs: SLOW_TIMEOUT_MS, ...options });
}

/** Freezes the root file system, that of a guest that is held too. */
export async function freeze(link: GuestLink, options: WaitOptions): Promise<void> {
  const operation = { what: 'freeze', operation: OPERATION.freeze, args: NO_ARGUMENTS, urgent: true };
  return command(link, operation, { timeoutMs: SLOW_TIMEOUT_MS, ...options });
}

/** Thaws the root file system, that of a guest that is held too. */
export async function thaw(link: GuestLink, options: WaitOptions): Promise<void> {
  const operation = { what: 'thaw', operation: OPERATION.thaw, args: NO_ARGUMENTS, urgent: true };
  return command(link, operation, { timeoutMs: QUICK_TIMEOUT_MS, ...options });
}

/** Reads load and space. */
export async function metrics(link: GuestLink, options: WaitOptions): Promise<GuestMetrics> {
  const operation = { what: 'metrics', operation: OPERATION.metrics, args: NO_ARGUMENTS };
  const answer = { kind: MESSAGE.metrics, decode: decodeMetrics };
  return request(link, operation, answer, { timeoutMs: QUICK_TIMEOUT_MS, ...options });
}

/** Begins to power off or restart. */
export async function shutdown(
  link: GuestLink,
  kind: ShutdownKind,
  options: WaitOptions & { readonly graceMs?: number },
): Promise<void> {
  const { graceMs = 0, ...wait } = options;
  const operation = {
    what: 'shut down',
    operation: OPERATION.shutdown,
    args: encodeShutdown(kind, graceMs),
  };
  return command(link, operation, { timeoutMs: QUICK_TIMEOUT_MS, ...wait });
}

/** Asks who answers. */
export async function info(link: GuestLink, options: WaitOptions): Promise<GuestInfo> {
  const operation = { what: 'info', operation: OPERATION.info, args: NO_ARGUMENTS };
  const answer = { kind: MESSAGE.info, decode: decodeInfo };
  return request(link, operation, answer, { timeoutMs: QUICK_TIMEOUT_MS, ...options });
}

/** Sets an interface's address, route and name server, or takes it down. */
export async function configureNetwork(
  link: GuestLink,
  network: GuestNetwork,
  options: WarnedOptions,
): Promise<void> {
  const operation = {
    what: 'configure the network',
    operation: OPERATION.network,
    args: encodeNetwork(network),
  };
  return command(link, operation, { timeoutMs: QUICK_TIMEOUT_MS, ...options });
}

/** How long HOLD waits for programs that are inside the kernel. */
const HOLD_TIMEOUT_MS = 2_000;

/** How to hold a guest. */
export interface HoldOptions extends WaitOptions {
  /** A snapshot follows: until `wake` nothing is sent that it could cut in half. Default yes. */
  readonly beforeSnapshot?: boolean;
}

/** Makes every program stand still. */
export async function hold(link: GuestLink, options: HoldOptions): Promise<boolean> {
  const { beforeSnapshot = true, ...wait } = options;
  const operation = {
    what: 'hold',
    operation: OPERATION.hold,
    args: encodeHold(HOLD_TIMEOUT_MS),
    urgent: true,
  };
  const answer = { kind: MESSAGE.held, decode: decodeHeld };
  if (beforeSnapshot) link.hold();
  try {
    return await request(link, operation, answer, { timeoutMs: QUICK_TIMEOUT_MS, ...wait });
  } catch (error) {
    link.release();
    throw error;
  }
}

/** Gives a guest what must be this life's own, and lets its programs go on. */
export async function wake(link: GuestLink, wake: GuestWake, options: WarnedOptions): Promise<void> {
  const operation = { what: 'wake', operation: OPERATION.wake, args: encodeWake(wake), urgent: true };
  await command(link, operation, { timeoutMs: QUICK_TIMEOUT_MS, ...options });
  link.release();
}
