import type { SnapshotInfo } from '@dormouse/sdk';
import { humanAge, humanBytes } from '../terminal/human.js';

/** One row of `snapshot ls` for each snapshot. */
export function snapshotRows(snapshots: readonly SnapshotInfo[], nowMs: number): string[][] {
  return snapshots.map((snapshot) => [
    snapshot.name,
    snapshot.type === 'snapshot' && !snapshot.memory ? 'snapshot (disk)' : snapshot.type,
    snapshot.lineage[0]?.name ?? '',
    String(snapshot.vcpus),
    `${snapshot.memoryMb} MiB`,
    humanBytes(snapshot.sizeBytes),
    humanBytes(snapshot.totalBytes),
    humanAge(snapshot.createdAt, nowMs),
    snapshot.description ?? '',
  ]);
}
