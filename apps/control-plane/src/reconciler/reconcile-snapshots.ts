import { fromUnknown } from '@dormouse/errors';
import type { Snapshot as HostSnapshot } from '@dormouse/host-api';
import type { SnapshotRecord } from '@dormouse/store';
import type { Services } from '../context.js';
import { type Bounds, eachAtMost, shuffled } from '../flow/each-at-most.js';
import { HOST_CALL_TIMEOUT_MS, hostCall } from '../host-call.js';
import { measured } from '../snapshots/create.js';
import { finishRemoval, removeFromHost } from '../snapshots/remove.js';
import type { HostView } from './decide.js';
import { decideSnapshot, type SnapshotDecision, type SnapshotRowView } from './decide-snapshot.js';

/** What the round of the sandboxes has found out already. */
export interface SnapshotRound {
  readonly askedAt: Date;
  /** Whether the control plane that moved a row is not at work any more. */
  readonly isAbandoned: (movedBy: string | null | undefined) => boolean;
  readonly busy: { has(id: string): boolean };
  readonly bounds: Bounds;
  /** The sandboxes of the host. */
  readonly sandboxes: ReadonlyMap<string, HostView>;
}

/**
 * Compares every snapshot of database and host once and puts right what differs. As with sandboxes the host is asked
 * first: what it has, some row announced before.
 *
 * @throws when host or database cannot be reached; nothing has been changed then
 */
export async function reconcileSnapshots(services: Services, round: SnapshotRound): Promise<void> {
  const { store, host, inFlight, log, metrics } = services;
  const { snapshots } = await hostCall(host.listSnapshots({}, { timeoutMs: HOST_CALL_TIMEOUT_MS }));
  const onHost = new Map(snapshots.map((snapshot) => [snapshot.id, snapshot]));
  const rows = new Map(
    (await store.system.snapshots.toReconcile([...onHost.keys()])).map((row) => [row.id, row]),
  );
  const reconcile = async (id: string): Promise<void> => {
    const [row, snapshot] = [rows.get(id), onHost.get(id)];
    const decision = decideSnapshot(
      row === undefined ? undefined : rowView(row),
      snapshot === undefined ? undefined : measured(snapshot),
      row === undefined ? undefined : round.sandboxes.get(row.sandbox_id)?.state,
      {
        askedAt: round.askedAt,
        abandoned: round.isAbandoned(row?.moved_by),
        inFlight: round.busy.has(id) || inFlight.has(id),
      },
    );
    if (decision.action === 'nothing') return;
    try {
      await inFlight.run(id, () => act(services, id, row, snapshot, decision));
    } catch (err) {
      log.warn({ err, snapshotId: id, action: decision.action }, 'reconciling failed');
      return;
    }
    metrics.reconciled.inc({ action: decision.action });
    log[QUIET.has(decision.action) ? 'debug' : 'info']({ snapshotId: id, ...decision }, 'reconciled');
  };
  await eachAtMost(shuffled(new Set([...rows.keys(), ...onHost.keys()])), round.bounds, reconcile);
}

/** What is no repair, or comes again in every round. */
const QUIET: ReadonlySet<SnapshotDecision['action']> = new Set(['resize', 'report_missing', 'leave_unknown']);

function rowView(row: SnapshotRecord): SnapshotRowView {
  return {
    state: row.state,
    stateChangedAt: row.state_changed_at,
    ownBytes: row.own_bytes === null ? null : Number(row.own_bytes),
    totalBytes: row.total_bytes === null ? null : Number(row.total_bytes),
  };
}

async function act(
  services: Services,
  id: string,
  row: SnapshotRecord | undefined,
  snapshot: HostSnapshot | undefined,
  decision: SnapshotDecision,
): Promise<void> {
  const { store, host } = services;
  switch (decision.action) {
    case 'finish_creating':
      if (row !== undefined && snapshot !== undefined) await finishCreating(services, row, snapshot);
      return;
    case 'give_up':
      if (row !== undefined) await giveUp(services, row);
      return;
    case 'finish_deleting':
      await finishRemoval(services, id);
      return;
    case 'delete_on_host':
      await hostCall(host.deleteSnapshot({ id }, { timeoutMs: HOST_CALL_TIMEOUT_MS }));
      return;
    case 'resize':
      if (snapshot !== undefined) await store.system.snapshots.resize(id, measured(snapshot));
      return;
    case 'report_missing':
    case 'leave_unknown':
    case 'nothing':
      return;
  }
}

/** A name that is another's by now is not taken from it, unless that was asked for and the other is older. */
async function finishCreating(
  services: Services,
  row: SnapshotRecord,
  snapshot: HostSnapshot,
): Promise<void> {
  const { snapshots } = services.store.forTeam(row.team_id);
  const holder = await snapshots.get(row.name);
  if (holder !== undefined && holder.created_at > row.created_at) return giveUp(services, row);
  try {
    const committed = await snapshots.commit(row, measured(snapshot));
    if (committed?.replaced !== undefined) await removeFromHost(services, committed.replaced.id);
  } catch (thrown) {
    if (fromUnknown(thrown).code !== 'already_exists') throw thrown;
    await giveUp(services, row);
  }
}

async function giveUp(services: Services, row: SnapshotRecord): Promise<void> {
  const deleting = await services.store.forTeam(row.team_id).snapshots.giveUp(row.id);
  if (deleting !== undefined) await finishRemoval(services, row.id);
}
