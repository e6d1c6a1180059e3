import type { Sandbox } from '@dormouse/contracts';
import type { SandboxRecord } from '@dormouse/store';

/** A stored sandbox as /v1 shows it. Its environment variables are not shown: they may be secrets. */
export function presentSandbox(record: SandboxRecord): Sandbox {
  return {
    id: record.id,
    state: record.state,
    reason: record.reason,
    template: record.template,
    parent_snapshot: record.parent_snapshot,
    vcpus: record.vcpus,
    memory_mb: record.memory_mb,
    disk_mb: record.disk_mb,
    timeout_sec: record.timeout_sec,
    on_timeout: record.on_timeout,
    internet: record.internet,
    metadata: record.metadata,
    created_at: record.created_at.toISOString(),
    started_at: record.started_at?.toISOString() ?? null,
    last_active_at: record.last_active_at?.toISOString() ?? null,
    expires_at: record.expires_at?.toISOString() ?? null,
    paused_at: record.paused_at?.toISOString() ?? null,
    resumed_by: record.resumed_by,
    host_id: record.host_id,
  };
}
