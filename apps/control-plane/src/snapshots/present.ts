import type { Snapshot } from '@dormouse/contracts';
import type { Template as HostTemplate } from '@dormouse/host-api';
import type { SnapshotAncestor, SnapshotRecord } from '@dormouse/store';

const BYTES_PER_MB = 1024 * 1024;

/** A stored snapshot as /v1 shows it. */
export function presentSnapshot(record: SnapshotRecord, ancestors: readonly SnapshotAncestor[]): Snapshot {
  return {
    id: record.id,
    name: record.name,
    type: 'snapshot',
    description: record.description,
    memory: !record.disk_only,
    template: record.template,
    image_id: record.image_id,
    sandbox_id: record.sandbox_id,
    vcpus: record.vcpus,
    memory_mb: record.memory_mb,
    disk_mb: record.disk_mb,
    size_bytes: Number(record.own_bytes ?? 0),
    total_bytes: Number(record.total_bytes ?? 0),
    parent: record.parent_id,
    lineage: [
      ...ancestors.map(({ id, name, state }) => ({
        id,
        name,
        type: 'snapshot' as const,
        deleted: state !== 'ready',
      })),
      { id: record.image_id ?? '', name: record.template, type: 'base', deleted: false },
    ],
    created_at: record.created_at.toISOString(),
  };
}

/** A template of the host, in the form of a snapshot: sandboxes are made of both. */
export function presentBase(template: HostTemplate): Snapshot {
  return {
    id: template.imageId,
    name: template.name,
    type: 'base',
    description: null,
    memory: false,
    template: template.name,
    image_id: template.imageId,
    sandbox_id: null,
    vcpus: template.defaultVcpus,
    memory_mb: template.defaultMemoryMb,
    disk_mb: Math.round(Number(template.diskBytes) / BYTES_PER_MB),
    size_bytes: Number(template.sizeBytes),
    total_bytes: Number(template.sizeBytes),
    parent: null,
    lineage: [],
    created_at: new Date(Number(template.createdAtMs)).toISOString(),
  };
}
