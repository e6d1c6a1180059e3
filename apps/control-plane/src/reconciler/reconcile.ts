import { SANDBOX_ID_PATTERN } from '@dormouse/contracts';
import { FIRST_GENERATION, isTransitional } from '@dormouse/lifecycle';
import type { ReconciledSandbox, TransitionChanges } from '@dormouse/store';
import type { Services } from '../context.js';
import { type Bounds, eachAtMost, shuffled } from '../flow/each-at-most.js';
import { HOST_CALL_TIMEOUT_MS, hostCall } from '../host-call.js';
import { recordPending } from '../host-events/record.js';
import { registerHost } from '../host-registration.js';
import { type Decision, decide, type HostView, type RowView } from './decide.js';
import { toHostView } from './host-view.js';
import { reconcileSnapshots } from './reconcile-snapshots.js';

/**
 * A host call may take its whole time limit. It delays no other sandbox, and the next round not for longer than this:
 * that one leaves alone what is still under way.
 */
const ROUND: Bounds = { atOnce: 8, forMs: 5_000 };

/** What one round did. */
export interface RoundResult {
  /** What was put right. */
  readonly acted: readonly { readonly id: string; readonly decision: Decision }[];
  /** Sandboxes of the host that this database has never heard of. */
  readonly strangers: readonly string[];
  /** Somebody is at work who may be gone soon: worth another look before long. */
  readonly underWay: boolean;
}

/**
 * Compares every sandbox and snapshot of database and host once and puts right what differs.
 *
 * The host is asked first and the database second: what the host has, some row announced before. The other way
 * round a sandbox made in between would look like one that nobody wants. Between the two is recorded what the host has
 * done by itself: it tells of that before it does it, so what is missing from the list has been told of.
 *
 * @throws when host or database cannot be reached; nothing has been changed then
 */
export async function reconcileOnce(services: Services): Promise<RoundResult> {
  const { store, host, inFlight, log, metrics } = services;
  using busy = inFlight.observe();
  const askedAt = await store.system.now();
  const hostId = await registerHost(services);
  const { sandboxes } = await hostCall(host.listSandboxes({}, { timeoutMs: HOST_CALL_TIMEOUT_MS }));
  const onHost = new Map<string, HostView>();
  const unknown = new Set<string>();
  for (const sandbox of sandboxes) {
    const view = toHostView(sandbox);
    if (view === undefined || !SANDBOX_ID_PATTERN.test(sandbox.id)) unknown.add(sandbox.id);
    else onHost.set(sandbox.id, view);
  }
  await recordPending(services, hostId);
  const rows = new Map(
    (await store.system.sandboxesToReconcile([...onHost.keys()])).map((row) => [row.id, row]),
  );

  // After the rows: who moved one announced itself before.
  const others = await store.system.lease.others();
  const isAbandoned = (movedBy: string | null | undefined) => !others.has(movedBy ?? '');

  const acted: { id: string; decision: Decision }[] = [];
  const strangers: string[] = [];
  const reconcile = async (id: string): Promise<void> => {
    const row = rows.get(id);
    const decision = decide(row === undefined ? undefined : rowView(row), onHost.get(id), {
      askedAt,
      abandoned: isAbandoned(row?.moved_by),
      inFlight: busy.has(id),
    });
    if (decision.action === 'nothing') return;
    if (decision.action === 'leave_unknown') {
      strangers.push(id);
      return;
    }
    try {
      await inFlight.run(id, () => act(services, row, onHost.get(id), decision));
    } catch (err) {
      log.warn({ err, sandboxId: id, action: decision.action }, 'reconciling failed');
      return;
    }
    acted.push({ id, decision });
    metrics.reconciled.inc({ action: decision.action });
    log[decision.action === 'touch' ? 'debug' : 'info']({ sandboxId: id, ...decision }, 'reconciled');
  };
  const known = [...new Set([...rows.keys(), ...onHost.keys()])].filter((id) => !unknown.has(id));
  await eachAtMost(shuffled(known), ROUND, reconcile);
  await reconcileSnapshots(services, { askedAt, isAbandoned, busy, bounds: ROUND, sandboxes: onHost });
  const underWay = [...rows.values()].some(({ state }) => isTransitional(state));
  return { acted, strangers, underWay };
}

function rowView(row: ReconciledSandbox): RowView {
  return {
    id: row.id,
    state: row.state,
    generation: row.generation,
    createdAt: row.created_at,
    stateChangedAt: row.state_changed_at,
    lastActiveAt: row.last_active_at,
    reason: row.reason,
    deleted: row.deleted_at !== null,
  };
}

/** Every change of a row compares and swaps, so a decision that came too late changes nothing. */
async function act(
  { store, host }: Services,
  row: ReconciledSandbox | undefined,
  view: HostView | undefined,
  decision: Decision,
): Promise<void> {
  if (row === undefined) return;
  const { id } = row;
  const { system } = store;
  const destroy = () => hostCall(host.destroySandbox({ id }, { timeoutMs: HOST_CALL_TIMEOUT_MS }));
  switch (decision.action) {
    case 'record_stopped':
      await system.follow({
        id,
        from: row,
        to: { state: 'stopped', generation: row.generation },
        changes: { reason: decision.reason, pausedAt: null },
        silent: decision.told,
      });
      return;
    case 'follow':
      await system.follow({
        id,
        from: row,
        to: { state: decision.to, generation: decision.generation },
        changes: { reason: decision.reason, ...followChanges(decision.to, row, view) },
        silent: decision.told,
      });
      return;
    case 'note':
      await system.note(id, row, decision.reason);
      return;
    case 'adopt': {
      const { startedAt, lastActiveAt } = decision;
      await system.transition({ id, from: row, to: 'running', changes: { startedAt, lastActiveAt } });
      return;
    }
    case 'record_error':
      await system.transition({ id, from: row, to: 'error', changes: { reason: decision.reason } });
      return;
    case 'finish_stopping':
      await destroy();
      await system.transition({ id, from: row, to: 'stopped' });
      return;
    case 'touch':
      await system.touch(id, decision.lastActiveAt);
      return;
    case 'destroy_on_host':
      await destroy();
      return;
    case 'leave_unknown':
    case 'nothing':
      return;
  }
}

/** What becomes known of a sandbox together with where it is. */
function followChanges(
  to: 'running' | 'paused' | 'resuming',
  row: ReconciledSandbox,
  view: HostView | undefined,
): TransitionChanges {
  switch (to) {
    case 'running':
      if (view === undefined) return { pausedAt: null };
      return {
        pausedAt: null,
        startedAt: view.startedAt,
        lastActiveAt: view.lastActiveAt,
        ...(view.generation > FIRST_GENERATION ? { resumedBy: view.resumedBy } : {}),
      };
    case 'paused':
      return { pausedAt: view?.state === 'paused' ? view.pausedAt : (row.paused_at ?? new Date()) };
    case 'resuming':
      return {};
  }
}
