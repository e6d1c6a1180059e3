import { create } from '@bufbuild/protobuf';
import * as api from '@dormouse/host-api';
import type {
  Entry,
  ForkResult,
  HostState,
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

/** What a caller asks for; zero and empty stand for the defaults. */
export function sandboxRequest(spec: api.SandboxSpec): SandboxRequest {
  return {
    template: spec.template,
    envs: spec.envs,
    internet: spec.internet,
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
