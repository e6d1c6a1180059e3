import type { Project, ProjectSnapshot } from '@dormouse/contracts';
import type { ProjectRecord, SaveRecord } from '@dormouse/store';
import { isGone } from './decide-open.js';

const BYTES_PER_MIB = 1024 * 1024;

/** A stored project as /v1 shows it. Its environment variables are not shown: they may be secrets. */
export function presentProject(record: ProjectRecord): Project {
  const sandboxState = record.sandbox_state ?? undefined;
  const open = !isGone(sandboxState);
  return {
    id: record.id,
    name: record.name,
    state: open ? 'open' : 'closed',
    template: record.template,
    keep_last: record.keep_last,
    workspace: record.workspace,
    vcpus: record.vcpus,
    memory_mb: record.memory_mb,
    timeout_sec: record.timeout_sec,
    internet: record.internet,
    metadata: record.metadata,
    sandbox_id: open ? record.sandbox_id : null,
    sandbox_state: open ? record.sandbox_state : null,
    snapshot_id: record.head_id,
    created_at: record.created_at.toISOString(),
    opened_at: record.opened_at?.toISOString() ?? null,
    saved_at: record.saved_at?.toISOString() ?? null,
  };
}

/** A kept moment as /v1 shows it. */
export function presentSave(record: SaveRecord): ProjectSnapshot {
  return {
    id: record.id,
    description: record.description,
    created_at: record.created_at.toISOString(),
    file_count: record.file_count === null ? null : Number(record.file_count),
    size_mb:
      record.size_bytes === null
        ? null
        : Math.round((Number(record.size_bytes) / BYTES_PER_MIB) * 1000) / 1000,
    metadata: record.metadata,
  };
}
