import { environmentList } from './process-codec.js';
import { SHUTDOWN_KIND } from './protocol.js';
import { violation } from './violation.js';
import { WireReader } from './wire-reader.js';
import { WireWriter } from './wire-writer.js';

/** What the guest shall be called and how it starts processes; what is left out stays as it is. */
export interface GuestConfiguration {
  readonly hostname?: string;
  /** User of operations that name none. */
  readonly defaultUser?: string;
  /** Work directory of processes that name none. */
  readonly defaultDirectory?: string;
  /** Variables every process gets. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Forget the variables of former calls first. Default false: add to them. */
  readonly replaceEnvironment?: boolean;
}

/** A network interface's settings. */
export interface GuestNetwork {
  /** Default: the first that is not loopback. */
  readonly interface?: string;
  /** Address with prefix length (`10.0.2.15/24`); empty: take the interface down. */
  readonly address: string;
  /** Default: no route. */
  readonly gateway?: string;
  /** Default: `/etc/resolv.conf` stays as it is. */
  readonly nameServer?: string;
}

/** What a life after a snapshot begins with. */
export interface GuestWake {
  /** Unix time in nanoseconds. */
  readonly unixNs: bigint;
  /** 16 to 4,096 random bytes for the kernel's pool. */
  readonly entropy: Uint8Array;
  /** 32 hexadecimal digits for a guest that shall be another than the one it is a copy of. Default: it stays itself. */
  readonly machineId?: string;
}

/** How a guest ends. */
export type ShutdownKind = 'powerOff' | 'restart';

/** Load and space of a guest. */
export interface GuestMetrics {
  readonly uptimeMs: number;
  readonly cpuCount: number;
  readonly cpuBusyMs: number;
  readonly cpuIdleMs: number;
  readonly memoryTotalBytes: bigint;
  readonly memoryAvailableBytes: bigint;
  readonly memoryCachedBytes: bigint;
  readonly swapUsedBytes: bigint;
  readonly diskTotalBytes: bigint;
  readonly diskUsedBytes: bigint;
  readonly diskAvailableBytes: bigint;
  /** Running processes that were started through the link. */
  readonly processes: number;
}

/** Who answers at the other end. */
export interface GuestInfo {
  readonly protocolVersion: number;
  readonly agentVersion: string;
  readonly kernelRelease: string;
  readonly bootId: string;
  readonly hostname: string;
  /** Unix time in milliseconds. */
  readonly bootTimeMs: number;
  readonly rootMounted: boolean;
}

const NS_PER_SECOND = 1_000_000_000n;

/** Arguments of DIAL. An empty host: 127.0.0.1, then ::1. A timeout of 0: 5,000 ms. */
export function encodeDial(port: number, host: string, timeoutMs: number): Uint8Array {
  return new WireWriter().u16(port).str(host).u32(timeoutMs).finish();
}

/** Arguments of CONFIGURE. */
export function encodeConfigure(configuration: GuestConfiguration): Uint8Array {
  return new WireWriter()
    .str(configuration.hostname ?? '')
    .str(configuration.defaultUser ?? '')
    .str(configuration.defaultDirectory ?? '')
    .flag(configuration.replaceEnvironment ?? false)
    .strs(environmentList(configuration.environment ?? {}))
    .finish();
}

/** Arguments of CLOCK_SET. */
export function encodeClock(unixNs: bigint): Uint8Array {
  return writeClock(new WireWriter(), unixNs).finish();
}

function writeClock(writer: WireWriter, unixNs: bigint): WireWriter {
  // Nanoseconds count upwards from the second, before 1970 too.
  const nanoseconds = ((unixNs % NS_PER_SECOND) + NS_PER_SECOND) % NS_PER_SECOND;
  const seconds = (unixNs - nanoseconds) / NS_PER_SECOND;
  return writer.i64(seconds).u32(Number(nanoseconds));
}

/** Arguments of ENTROPY_ADD. */
export function encodeEntropy(bytes: Uint8Array, reseed: boolean): Uint8Array {
  return new WireWriter().bytes(bytes).flag(reseed).finish();
}

/** Arguments of SHUTDOWN. */
export function encodeShutdown(kind: ShutdownKind, graceMs: number): Uint8Array {
  return new WireWriter().u8(SHUTDOWN_KIND[kind]).u32(graceMs).finish();
}

/** Arguments of NETWORK. */
export function encodeNetwork(network: GuestNetwork): Uint8Array {
  return new WireWriter()
    .str(network.interface ?? '')
    .str(network.address)
    .str(network.gateway ?? '')
    .str(network.nameServer ?? '')
    .finish();
}

/** Arguments of HOLD. */
export function encodeHold(timeoutMs: number): Uint8Array {
  return new WireWriter().u32(timeoutMs).finish();
}

/** Arguments of WAKE. */
export function encodeWake(wake: GuestWake): Uint8Array {
  return writeClock(new WireWriter(), wake.unixNs)
    .bytes(wake.entropy)
    .str(wake.machineId ?? '')
    .finish();
}

/** Body of HELD. */
export function decodeHeld(body: Uint8Array): boolean {
  const reader = new WireReader(body, 'HELD');
  const held = reader.flag();
  reader.done();
  return held;
}

/** Body of METRICS. */
export function decodeMetrics(body: Uint8Array): GuestMetrics {
  const reader = new WireReader(body, 'METRICS');
  const metrics = {
    uptimeMs: Number(reader.u64()),
    cpuCount: Number(reader.u64()),
    cpuBusyMs: Number(reader.u64()),
    cpuIdleMs: Number(reader.u64()),
    memoryTotalBytes: reader.u64(),
    memoryAvailableBytes: reader.u64(),
    memoryCachedBytes: reader.u64(),
    swapUsedBytes: reader.u64(),
    diskTotalBytes: reader.u64(),
    diskUsedBytes: reader.u64(),
    diskAvailableBytes: reader.u64(),
    processes: Number(reader.u64()),
  };
  reader.done();
  return metrics;
}

/** Body of INFO. */
export function decodeInfo(body: Uint8Array): GuestInfo {
  const reader = new WireReader(body, 'INFO');
  const info = {
    protocolVersion: reader.u32(),
    agentVersion: reader.text(),
    kernelRelease: reader.text(),
    bootId: reader.text(),
    hostname: reader.text(),
    bootTimeMs: Number(reader.i64()),
    rootMounted: reader.flag(),
  };
  reader.done();
  return info;
}

/** Body of a message that carries nothing: WATCHING, CONNECTED. */
export function decodeNothing(body: Uint8Array): void {
  if (body.length !== 0) throw violation(`a message without fields has ${body.length} bytes`);
}
