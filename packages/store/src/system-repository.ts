import { SANDBOX_STATES, type SandboxState } from '@dormouse/lifecycle';
import { type Kysely, sql } from 'kysely';
import { IS_LIVE, IS_OPEN, IS_VISIBLE } from './hot-rows.js';
import type { Mover } from './mover.js';
import { ProcessLease } from './process-lease.js';
import type { Quotas } from './quotas.js';
import { RateLimits } from './rate-limits.js';
import {
  type Follow,
  RECONCILED_COLUMNS,
  type ReconciledSandbox,
  type SandboxRecord,
  type Transition,
} from './sandbox-record.js';
import type { Database } from './schema.js';
import { insertTeam, SystemAccounts, USE_IS_DUE } from './system-accounts.js';
import { SystemEvents } from './system-events.js';
import { SystemProjects } from './system-projects.js';
import { SystemPrune } from './system-prune.js';
import { SystemSnapshots } from './system-snapshots.js';
import { SystemWebhooks } from './system-webhooks.js';
import { compareAndFollow, compareAndSwap } from './transition.js';

/** What a host says of itself. */
export interface HostRecord {
  readonly id: string;
  readonly agentVersion: string;
  readonly accelerator: string;
  readonly cpuCount: number;
  readonly memoryTotalMb: number;
}

/** A key that must work, whatever the database held before. */
export interface LocalAccess {
  readonly email: string;
  readonly teamName: string;
  readonly keyName: string;
  readonly lookup: string;
  readonly hash: string;
}

/** Rows one sweep removes at most: it must not hold the table for long. */
const SWEEP_ROWS = 10_000;

/**
 * What is not bound to a team: for the reconciler, for authentication and for setting up. Request handlers
 * work with a TeamScope instead.
 */
export class SystemRepository {
  readonly #db: Kysely<Database>;
  readonly #mover: Mover;
  readonly accounts: SystemAccounts;
  readonly rateLimits: RateLimits;
  readonly snapshots: SystemSnapshots;
  readonly events: SystemEvents;
  readonly webhooks: SystemWebhooks;
  /** That this process is at work. */
  readonly lease: ProcessLease;
  readonly projects: SystemProjects;
  readonly prune: SystemPrune;

  constructor(db: Kysely<Database>, mover: Mover) {
    this.#db = db;
    this.#mover = mover;
    this.accounts = new SystemAccounts(db);
    this.rateLimits = new RateLimits(db);
    this.snapshots = new SystemSnapshots(db);
    this.events = new SystemEvents(db, mover);
    this.webhooks = new SystemWebhooks(db, mover.processId);
    this.lease = new ProcessLease(db, mover.processId);
    this.projects = new SystemProjects(db);
    this.prune = new SystemPrune(db);
  }

  /** Builds that wait or were begun, and that nobody is at (any more). */
  async unfinishedBuilds(): Promise<{ readonly id: string; readonly teamId: string }[]> {
    return this.#db
      .selectFrom('template_builds')
      .select(['id', 'team_id as teamId'])
      .where(IS_OPEN)
      .where((where) => where.or([where('lease', 'is', null), where('lease_until', '<', sql<Date>`now()`)]))
      .orderBy('created_at')
      .execute();
  }

  /** Layers that no template remembers, of teams that build nothing at this moment. */
  async orphanLayers(): Promise<readonly { readonly id: string; readonly teamId: string }[]> {
    const { rows } = await sql<{ id: string; teamId: string }>`
      select id, team_id as "teamId" from snapshots
        where state = 'ready' and name = 'layer-' || id
          and not exists (select from template_layers where template_layers.snapshot_id = snapshots.id)
          and not exists (
            select from template_builds build
              where build.team_id = snapshots.team_id and build.state in ('queued', 'running')
                and build.lease_until > now())`.execute(this.#db);
    return rows;
  }

  /** The database's clock, by which rows are stamped. */
  async now(): Promise<Date> {
    const { rows } = await sql<{ now: Date }>`select now()::timestamptz(3) as now`.execute(this.#db);
    return rows[0]!.now;
  }

  /** Every sandbox that has not ended, and of those that have, the ones named. */
  async sandboxesToReconcile(ids: readonly string[]): Promise<ReconciledSandbox[]> {
    return this.#db
      .selectFrom('sandboxes')
      .select(RECONCILED_COLUMNS)
      .where((where) => where.or([IS_LIVE, where('id', '=', sql<string>`any(${ids})`)]))
      .orderBy('created_at')
      .execute();
  }

  async transition(transition: Transition): Promise<SandboxRecord | undefined> {
    return compareAndSwap(this.#db, this.#mover, undefined, transition);
  }

  /** Takes over where a host already is. */
  async follow(follow: Follow): Promise<SandboxRecord | undefined> {
    return compareAndFollow(this.#db, this.#mover, follow);
  }

  /** Changes what is said about the state of a sandbox, and nothing else. */
  async note(
    id: string,
    { state, generation }: Pick<SandboxRecord, 'state' | 'generation'>,
    reason: string | null,
  ): Promise<void> {
    await this.#db
      .updateTable('sandboxes')
      .set({ reason })
      .where('id', '=', id)
      .where('state', '=', state)
      .where('generation', '=', generation)
      .execute();
  }

  /** Records activity that a host reported; never turns it back. */
  async touch(id: string, lastActiveAt: Date): Promise<void> {
    await this.#db
      .updateTable('sandboxes')
      .set({ last_active_at: lastActiveAt })
      .where('id', '=', id)
      .where((where) =>
        where.or([where('last_active_at', 'is', null), where('last_active_at', '<', lastActiveAt)]),
      )
      .execute();
  }

  /** Number of sandboxes in each state; those destroyed on request are left out. */
  async countSandboxes(): Promise<Record<SandboxState, number>> {
    const rows = await this.#db
      .selectFrom('sandboxes')
      .select(['state', (select) => select.fn.countAll<string>().as('count')])
      .where(IS_VISIBLE)
      .groupBy('state')
      .execute();
    const counts = Object.fromEntries(SANDBOX_STATES.map((state) => [state, 0])) as Record<
      SandboxState,
      number
    >;
    for (const { state, count } of rows) counts[state] = Number(count);
    return counts;
  }

  /** Remembers a host and that it is alive. */
  async upsertHost(host: HostRecord): Promise<void> {
    const values = {
      agent_version: host.agentVersion,
      accelerator: host.accelerator,
      cpu_count: host.cpuCount,
      memory_total_mb: host.memoryTotalMb,
      last_seen_at: sql<Date>`now()`,
      state: 'online' as const,
    };
    await this.#db
      .insertInto('hosts')
      .values({ id: host.id, ...values })
      .onConflict((conflict) => conflict.column('id').doUpdateSet(values))
      .execute();
  }

  /** Remembers that a known host is alive. */
  async seeHost(id: string): Promise<void> {
    await this.#db
      .updateTable('hosts')
      .set({ last_seen_at: sql<Date>`now()`, state: 'online' })
      .where('id', '=', id)
      .execute();
  }

  /** Marks hosts that no control plane has seen for a while. Answers those that were not marked before. */
  async markUnreachable(afterMs: number): Promise<readonly string[]> {
    const rows = await this.#db
      .updateTable('hosts')
      .set({ state: 'unreachable' })
      .where('state', '=', 'online')
      .where('last_seen_at', '<', sql<Date>`now() - make_interval(secs => ${sql.lit(afterMs / 1_000)})`)
      .returning('id')
      .execute();
    return rows.map(({ id }) => id);
  }

  /** Number of hosts in each state. */
  async countHosts(): Promise<Record<'online' | 'unreachable', number>> {
    const rows = await this.#db
      .selectFrom('hosts')
      .select(['state', (select) => select.fn.countAll<string>().as('count')])
      .groupBy('state')
      .execute();
    const counts = { online: 0, unreachable: 0 };
    for (const { state, count } of rows) counts[state] = Number(count);
    return counts;
  }

  /** Gives a team limits of its own; null: the configured ones. */
  async setQuotas(teamId: string, { running, paused, snapshotBytes }: Quotas): Promise<void> {
    const limits = { running, paused, snapshot_bytes: snapshotBytes };
    await this.#db
      .insertInto('quotas')
      .values({ team_id: teamId, ...limits })
      .onConflict((conflict) => conflict.column('team_id').doUpdateSet(limits))
      .execute();
  }

  /** Removes what is older than this from the audit logs of all teams. How many records. */
  async sweepAudit(maxAgeDays: number): Promise<number> {
    const { numAffectedRows } = await sql`
      delete from audit_log where id in (
        select id from audit_log where created_at < now() - make_interval(days => ${maxAgeDays})
          order by created_at limit ${SWEEP_ROWS}
      )`.execute(this.#db);
    return Number(numAffectedRows ?? 0n);
  }

  /** Remembers that a key was used, to the minute. */
  async touchApiKey(id: string): Promise<void> {
    await this.#db
      .updateTable('api_keys')
      .set({ last_used_at: sql<Date>`now()` })
      .where('id', '=', id)
      .where(USE_IS_DUE)
      .execute();
  }

  /**
   * Makes sure that a key works: finds or makes the user, the user's own team and the key, in one transaction.
   *
   * @returns the team the key belongs to
   */
  async ensureLocalAccess(access: LocalAccess): Promise<string> {
    return this.#db.transaction().execute(async (transaction) => {
      // Two control planes at their first start must not make two users.
      await sql`select pg_advisory_xact_lock(hashtext('dormouse local access'))`.execute(transaction);
      const known = await transaction
        .selectFrom('api_keys')
        .select('team_id')
        .where('hash', '=', access.hash)
        .executeTakeFirst();
      if (known !== undefined) return known.team_id;

      const member = await transaction
        .selectFrom('users')
        .innerJoin('team_members', 'team_members.user_id', 'users.id')
        .select(['users.id as userId', 'team_members.team_id as teamId'])
        .where('users.email', '=', access.email)
        .where('team_members.role', '=', 'owner')
        .orderBy('team_members.created_at')
        .executeTakeFirst();
      const { userId, teamId } = member ?? (await userWithNewTeam(transaction, access));
      await transaction
        .insertInto('api_keys')
        .values({
          team_id: teamId,
          user_id: userId,
          name: access.keyName,
          lookup: access.lookup,
          hash: access.hash,
        })
        .execute();
      return teamId;
    });
  }
}

async function userWithNewTeam(
  db: Kysely<Database>,
  { email, teamName }: LocalAccess,
): Promise<{ userId: string; teamId: string }> {
  const present = await db.selectFrom('users').select('id').where('email', '=', email).executeTakeFirst();
  const user =
    present ?? (await db.insertInto('users').values({ email }).returning('id').executeTakeFirstOrThrow());
  const team = await insertTeam(db, user.id, teamName);
  return { userId: user.id, teamId: team.id };
}
