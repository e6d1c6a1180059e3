import { create } from '@bufbuild/protobuf';
import * as api from '@dormouse/host-api';
import type {
  Entry,
  ForkResult,
  HostEvent,
  HostEventKind,
  HostState,
  MetricsPoint,
  PauseCause,
  Policy,
  ProcessInfo,
  Sandbox,
  SandboxRequest,
  SandboxSpec,
  Snapshot,
  Template,
} from '@dormouse/sandbox';

const STATES: Readonly<Record<HostState, api.SandboxState>> = {
  pending: api.SandboxState.PENDING,
  running: api.SandboxState.RUNNING,
  snapshotting: api.SandboxState.SNAPSHOTTING,
  pausing: api.SandboxState.PAUSING,
  paused: api.SandboxState.PAUSED,
  resuming: api.SandboxState.RESUMING,
  stopping: api.SandboxState.STOPPING,
  stopped: api.SandboxState.STOPPED,
};

const FILE_TYPES: Readonly<Record<Entry['targetType'], api.FileType>> = {
  file: api.FileType.FILE,
  directory: api.FileType.DIRECTORY,
  symlink: api.FileType.SYMLINK,
  other: api.FileType.OTHER,
  broken: api.FileType.UNSPECIFIED,
};

const RESUMED_BY = {
  memory: api.ResumedBy.MEMORY,
  reboot: api.ResumedBy.REBOOT,
} as const;

const PAUSE_CAUSES: Readonly<Record<PauseCause, api.PauseCause>> = {
  timeout: api.PauseCause.TIMEOUT,
  shutdown: api.PauseCause.SHUTDOWN,
  vm_ended: api.PauseCause.VM_ENDED,
};

const EVENT_KINDS: Readonly<Record<HostEventKind, api.HostEventKind>> = {
  auto_paused: api.HostEventKind.AUTO_PAUSED,
  killed: api.HostEventKind.KILLED,
  pause_failed: api.HostEventKind.PAUSE_FAILED,
  stopped: api.HostEventKind.STOPPED,
  restored_again: api.HostEventKind.RESTORED_AGAIN,
  rebooted: api.HostEventKind.REBOOTED,
  stays_paused: api.HostEventKind.STAYS_PAUSED,
  paused_with_host: api.HostEventKind.PAUSED_WITH_HOST,
  resumed_with_host: api.HostEventKind.RESUMED_WITH_HOST,
  vm_ended: api.HostEventKind.VM_ENDED,
};

/** A sandbox as the control plane sees it. */
export function sandboxMessage(sandbox: Pick<Sandbox, 'journal' | 'spec' | 'lastActiveAtMs'>): api.Sandbox {
  const { journal, spec } = sandbox;
  return create(api.SandboxSchema, {
    id: journal.id,
    generation: BigInt(journal.generation),
    state: STATES[journal.state],
    spec: specMessage(spec),
    reason: journal.reason ?? '',
    createdAtMs: BigInt(journal.createdAtMs),
    startedAtMs: BigInt(journal.startedAtMs ?? 0),
    lastActiveAtMs: BigInt(sandbox.lastActiveAtMs),
    diskBytes: BigInt(spec.diskBytes),
    imageId: spec.imageId,
    resumedBy: journal.resumedBy === undefined ? api.ResumedBy.UNSPECIFIED : RESUMED_BY[journal.resumedBy],
    pausedAtMs: BigInt(journal.paused?.atMs ?? 0),
    snapshotId: journal.snapshotId ?? '',
    policy: policyMessage(journal.policy),
    pauseCause:
      journal.paused?.cause === undefined ? api.PauseCause.UNSPECIFIED : PAUSE_CAUSES[journal.paused.cause],
    diskOnly: journal.paused?.kind === 'disk',
  });
}

function policyMessage({ timeoutSec, onTimeout, onMemoryLoss }: Policy): api.SandboxPolicy {
  return create(api.SandboxPolicySchema, {
    timeoutSec,
    onTimeout: onTimeout === 'kill' ? api.OnTimeout.KILL : api.OnTimeout.PAUSE,
    onMemoryLoss: onMemoryLoss === 'fail' ? api.OnMemoryLoss.FAIL : api.OnMemoryLoss.REBOOT,
  });
}

/** What a caller wants the host to do by itself; undefined: nothing was said. */
export function policyOf(message: api.SandboxPolicy | undefined): Policy | undefined {
  if (message === undefined) return undefined;
  return {
    timeoutSec: message.timeoutSec,
    onTimeout: message.onTimeout === api.OnTimeout.KILL ? 'kill' : 'pause',
    onMemoryLoss: message.onMemoryLoss === api.OnMemoryLoss.FAIL ? 'fail' : 'reboot',
  };
}

/** What the host has done by itself, as the control plane sees it. */
export function eventMessage(event: HostEvent): api.HostEvent {
  return create(api.HostEventSchema, {
    number: BigInt(event.number),
    kind: EVENT_KINDS[event.kind],
    sandboxId: event.sandboxId,
    generation: BigInt(event.generation),
    atMs: BigInt(event.atMs),
    reason: event.reason,
    key: event.key ?? '',
  });
}

function specMessage(spec: SandboxSpec): api.SandboxSpec {
  return create(api.SandboxSpecSchema, {
    template: spec.template,
    vcpus: spec.vcpus,
    memoryMb: spec.memoryMb,
    envs: { ...spec.envs },
    internet: spec.internet,
    hostname: spec.hostname,
  });
}

/** A child of a fork, or why there is none. */
export function forkMessage(result: ForkResult): api.ForkResult {
  if ('sandbox' in result) {
    return create(api.ForkResultSchema, { id: result.id, sandbox: sandboxMessage(result.sandbox) });
  }
  const { code, message } = result.error;
  return create(api.ForkResultSchema, { id: result.id, code, message });
}

/** A snapshot as the control plane sees it. */
export function snapshotMessage(
  snapshot: Snapshot,
  sizes: { readonly ownBytes: number; readonly totalBytes: number },
): api.Snapshot {
  const { spec } = snapshot;
  return create(api.SnapshotSchema, {
    id: snapshot.id,
    spec: specMessage(spec),
    imageId: spec.imageId,
    diskOnly: snapshot.kind === 'disk',
    diskBytes: BigInt(spec.diskBytes),
    ownBytes: BigInt(sizes.ownBytes),
    totalBytes: BigInt(sizes.totalBytes),
    createdAtMs: BigInt(snapshot.createdAtMs),
    sandboxId: snapshot.sandboxId,
    parentId: snapshot.parentId ?? '',
  });
}

/** A moment of a sandbox as the control plane sees it. */
export function metricsMessage(point: MetricsPoint): api.MetricsPoint {
  return create(api.MetricsPointSchema, {
    atMs: BigInt(point.atMs),
    uptimeMs: BigInt(point.uptimeMs),
    cpuCount: point.cpuCount,
    cpuBusyMs: BigInt(point.cpuBusyMs),
    cpuIdleMs: BigInt(point.cpuIdleMs),
    memoryTotalBytes: BigInt(point.memoryTotalBytes),
    memoryAvailableBytes: BigInt(point.memoryAvailableBytes),
    memoryCachedBytes: BigInt(point.memoryCachedBytes),
    diskTotalBytes: BigInt(point.diskTotalBytes),
    diskUsedBytes: BigInt(point.diskUsedBytes),
    diskAvailableBytes: BigInt(point.diskAvailableBytes),
    processCount: point.processCount,
  });
}

/** What a caller asks for; zero and empty stand for the defaults. */
export function sandboxRequest(spec: api.SandboxSpec, policy?: api.SandboxPolicy): SandboxRequest {
  const wanted = policyOf(policy);
  return {
    template: spec.template,
    envs: spec.envs,
    internet: spec.internet,
    ...(wanted === undefined ? {} : { policy: wanted }),
    ...(spec.snapshotId === '' ? {} : { snapshotId: spec.snapshotId }),
    ...(spec.vcpus === 0 ? {} : { vcpus: spec.vcpus }),
    ...(spec.memoryMb === 0 ? {} : { memoryMb: spec.memoryMb }),
    ...(spec.hostname === '' ? {} : { hostname: spec.hostname }),
  };
}

/** A template as the control plane sees it. */
export function templateMessage(template: Template): api.Template {
  return create(api.TemplateSchema, {
    name: template.name,
    imageId: template.imageId,
    diskBytes: BigInt(template.diskBytes),
    sizeBytes: BigInt(template.sizeBytes),
    createdAtMs: BigInt(Date.parse(template.createdAt)),
    defaultVcpus: template.vcpus,
    defaultMemoryMb: template.memoryMb,
  });
}

/** A file as the control plane sees it. */
export function entryMessage(entry: Entry): api.FileEntry {
  return create(api.FileEntrySchema, {
    name: entry.name,
    path: entry.path,
    type: FILE_TYPES[entry.type],
    targetType: FILE_TYPES[entry.targetType],
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    owner: entry.owner,
    group: entry.group,
    size: entry.sizeBytes,
    modifiedAtMs: BigInt(entry.modifiedSeconds * 1_000 + Math.floor(entry.modifiedNanoseconds / 1_000_000)),
    symlinkTarget: entry.symlinkTarget,
  });
}

/** A process as the control plane sees it. */
export function processMessage(process: ProcessInfo): api.Process {
  return create(api.ProcessSchema, {
    pid: process.pid,
    running: process.running,
    terminal: process.terminal,
    startedAtMs: BigInt(process.startTimeMs),
    exitCode: process.exitCode,
    signal: process.signal,
    tag: process.tag,
    user: process.user,
    cwd: process.cwd,
    argv: [...process.argv],
  });
}
