import { create } from '@bufbuild/protobuf';
import * as api from '@dormouse/host-api';
import type { Entry, HostState, ProcessInfo, Sandbox, SandboxRequest, Template } from '@dormouse/sandbox';

const STATES: Readonly<Record<HostState, api.SandboxState>> = {
  pending: api.SandboxState.PENDING,
  running: api.SandboxState.RUNNING,
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

/** A sandbox as the control plane sees it. */
export function sandboxMessage(sandbox: Sandbox): api.Sandbox {
  const { journal, spec } = sandbox;
  return create(api.SandboxSchema, {
    id: journal.id,
    generation: BigInt(journal.generation),
    state: STATES[journal.state],
    spec: {
      template: spec.template,
      vcpus: spec.vcpus,
      memoryMb: spec.memoryMb,
      envs: { ...spec.envs },
      internet: spec.internet,
      hostname: spec.hostname,
    },
    reason: journal.reason ?? '',
    createdAtMs: BigInt(journal.createdAtMs),
    startedAtMs: BigInt(journal.startedAtMs ?? 0),
    lastActiveAtMs: BigInt(sandbox.lastActiveAtMs),
    diskBytes: BigInt(spec.diskBytes),
    imageId: spec.imageId,
  });
}

/** What a caller asks for; zero and empty stand for the defaults. */
export function sandboxRequest(spec: api.SandboxSpec): SandboxRequest {
  return {
    template: spec.template,
    envs: spec.envs,
    internet: spec.internet,
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
