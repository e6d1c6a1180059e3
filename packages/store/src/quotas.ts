import { DormouseError } from '@dormouse/errors';
import { type Kysely, sql } from 'kysely';
import type { Database } from './schema.js';

/** How much a team may have at once; null: as much as there is. */
export interface Quotas {
  /** Sandboxes that run, or are on their way to or from that. */
  readonly running: number | null;
  readonly paused: number | null;
  /** Bytes that snapshots have for themselves; what they share with others is not counted. */
  readonly snapshotBytes: number | null;
}

/** Of a store that was told nothing: no limits. */
export const NO_QUOTAS: Quotas = { running: null, paused: null, snapshotBytes: null };

/** What a team has, and what it may have. */
export interface Usage {
  readonly used: { readonly [Kind in keyof Quotas]: number };
  readonly limits: Quotas;
}

const WHAT: Readonly<Record<keyof Quotas, { readonly what: string; readonly suggestion: string }>> = {
  running: { what: 'running sandboxes', suggestion: 'Pause or delete one, or ask for a higher quota.' },
  paused: { what: 'paused sandboxes', suggestion: 'Delete one, or ask for a higher quota.' },
  snapshotBytes: {
    what: 'bytes of snapshots',
    suggestion: 'Delete snapshots that you do not need, or ask for a higher quota.',
  },
};

/** What a team has at this moment. Within a transaction that holds the team's lock nothing is added meanwhile. */
export async function usageOf(db: Kysely<Database>, teamId: string, defaults: Quotas): Promise<Usage> {
  const { rows } = await sql<{
    running: string;
    paused: string;
    bytes: string;
    max_running: number | null;
    max_paused: number | null;
    max_bytes: string | null;
    own: boolean;
  }>`
    select sandbox.running, sandbox.paused, snapshot.bytes,
      quota.running as max_running, quota.paused as max_paused, quota.snapshot_bytes as max_bytes,
      quota.team_id is not null as own
    from
      (select
        count(*) filter (where state not in ('paused', 'stopping')) as running,
        count(*) filter (where state = 'paused') as paused
        from sandboxes where team_id = ${teamId} and state not in ('stopped', 'error')) sandbox,
      (select coalesce(sum(own_bytes), 0) as bytes
        from snapshots where team_id = ${teamId} and state = 'ready') snapshot
      left join quotas quota on quota.team_id = ${teamId}`.execute(db);
  const row = rows[0]!;
  return {
    used: { running: Number(row.running), paused: Number(row.paused), snapshotBytes: Number(row.bytes) },
    limits: {
      running: row.max_running ?? defaults.running,
      paused: row.max_paused ?? defaults.paused,
      snapshotBytes: row.max_bytes === null ? defaults.snapshotBytes : Number(row.max_bytes),
    },
  };
}

/**
 * Refuses one more of something. Only within a transaction that holds the team's lock is that sure.
 *
 * @throws DormouseError `quota_exceeded` saying which limit, how much is used and what to do
 */
export async function assertRoom(
  db: Kysely<Database>,
  teamId: string,
  defaults: Quotas,
  kind: keyof Quotas,
): Promise<void> {
  const { used, limits } = await usageOf(db, teamId, defaults);
  const limit = limits[kind];
  if (limit === null || used[kind] < limit) return;
  const { what, suggestion } = WHAT[kind];
  throw new DormouseError('quota_exceeded', `the team has ${used[kind]} of ${limit} ${what}`, { suggestion });
}
