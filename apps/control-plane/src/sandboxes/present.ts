import type { Sandbox } from '@dormouse/contracts';
import { takesCommands } from '@dormouse/lifecycle';
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
    on_memory_loss: record.on_memory_loss,
    internet: record.internet,
    metadata: record.metadata,
    created_at: record.created_at.toISOString(),
    started_at: record.started_at?.toISOString() ?? null,
    last_active_at: record.last_active_at?.toISOString() ?? null,
    expires_at: expiresAt(record)?.toISOString() ?? null,
    paused_at: record.paused_at?.toISOString() ?? null,
    resumed_by: record.resumed_by,
    host_id: record.host_id,
    // Where nobody looked it up, the host has answered just now.
    host_state: record.host_state === undefined ? 'online' : record.host_state,
  };
}

function expiresAt({ state, timeout_sec, last_active_at }: SandboxRecord): Date | undefined {
  if (!takesCommands(state) || timeout_sec === 0 || last_active_at === null) return undefined;
  return new Date(last_active_at.getTime() + timeout_sec * 1_000);
}
