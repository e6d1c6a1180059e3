import { FIRST_GENERATION, type SandboxState } from '@dormouse/lifecycle';
import { type Kysely, type SelectQueryBuilder, sql } from 'kysely';
import { cutPage, decodeCursor, type Page, type PageRequest } from './cursor.js';
import { insertEvent, lockTeam } from './events.js';
import { IS_VISIBLE } from './hot-rows.js';
import type { Mover } from './mover.js';
import { assertRoom } from './quotas.js';
import { type NewSandbox, SANDBOX_COLUMNS, type SandboxRecord, type Transition } from './sandbox-record.js';
import type { Database } from './schema.js';
import { compareAndSwap } from './transition.js';

/** Which sandboxes of a team. */
export interface SandboxFilter extends PageRequest {
  readonly state?: SandboxState | undefined;
  /** All of these must be there with these values. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** The sandboxes of one team. Those that were destroyed on request are gone for it. */
export class TeamSandboxes {
  readonly #db: Kysely<Database>;
  readonly #teamId: string;
  readonly #mover: Mover;

  constructor(db: Kysely<Database>, teamId: string, mover: Mover) {
    this.#db = db;
    this.#teamId = teamId;
    this.#mover = mover;
  }

  /** A sandbox, or undefined: not there, another team's and destroyed are the same. */
  async get(id: string): Promise<SandboxRecord | undefined> {
    return this.#visible().where('id', '=', id).executeTakeFirst();
  }

  /** The environment of a sandbox; undefined where `get` finds none. */
  async envsOf(id: string): Promise<Readonly<Record<string, string>> | undefined> {
    const row = await this.#visible().clearSelect().select('envs').where('id', '=', id).executeTakeFirst();
    return row?.envs;
  }

  /** Newest first. */
  async list(filter: SandboxFilter): Promise<Page<SandboxRecord>> {
    let query = this.#visible()
      .orderBy('created_at', 'desc')
      .orderBy('id', 'desc')
      .limit(filter.limit + 1);
    if (filter.state !== undefined) query = query.where('state', '=', filter.state);
    if (filter.metadata !== undefined && Object.keys(filter.metadata).length > 0) {
      query = query.where(sql<boolean>`metadata @> ${JSON.stringify(filter.metadata)}::jsonb`);
    }
    if (filter.cursor !== undefined) {
      const { createdAt, id } = decodeCursor(filter.cursor);
      query = query.where(sql<boolean>`(created_at, id) < (${createdAt}, ${id})`);
    }
    return cutPage(await query.execute(), filter.limit);
  }

  /** Records a sandbox that is about to be made. @throws DormouseError `quota_exceeded` */
  async insert(sandbox: NewSandbox): Promise<SandboxRecord> {
    return this.#db.transaction().execute(async (transaction) => {
      await lockTeam(transaction, this.#teamId);
      await assertRoom(transaction, this.#teamId, this.#mover.quotas, 'running');
      const record = await transaction
        .insertInto('sandboxes')
        .values({
          id: sandbox.id,
          team_id: this.#teamId,
          state: 'pending',
          generation: FIRST_GENERATION,
          template: sandbox.template,
          image_id: sandbox.imageId,
          vcpus: sandbox.vcpus,
          memory_mb: sandbox.memoryMb,
          disk_mb: sandbox.diskMb,
          timeout_sec: sandbox.timeoutSec,
          on_timeout: sandbox.onTimeout,
          on_memory_loss: sandbox.onMemoryLoss,
          moved_by: this.#mover.processId,
          internet: sandbox.internet,
          envs: JSON.stringify(sandbox.envs),
          metadata: JSON.stringify(sandbox.metadata),
          host_id: sandbox.hostId,
          parent_snapshot: sandbox.parentSnapshot ?? null,
        })
        .returning(SANDBOX_COLUMNS)
        .executeTakeFirstOrThrow();
      await insertEvent(transaction, this.#teamId, this.#mover.actor, {
        type: 'sandbox.created',
        sandboxId: sandbox.id,
        data: { template: sandbox.template, parent_snapshot: sandbox.parentSnapshot ?? null },
      });
      return record;
    });
  }

  /** Moves one of the team's sandboxes; undefined when it was not where the caller believed. */
  async transition(transition: Transition): Promise<SandboxRecord | undefined> {
    return compareAndSwap(this.#db, this.#mover, this.#teamId, transition);
  }

  /** Changes what the host does by itself with one of the team's sandboxes. */
  async setPolicy(
    id: string,
    { timeoutSec, onMemoryLoss }: { readonly timeoutSec: number; readonly onMemoryLoss: 'reboot' | 'fail' },
  ): Promise<SandboxRecord | undefined> {
    return this.#db
      .updateTable('sandboxes')
      .set({ timeout_sec: timeoutSec, on_memory_loss: onMemoryLoss })
      .where('team_id', '=', this.#teamId)
      .where('id', '=', id)
      .returning(SANDBOX_COLUMNS)
      .executeTakeFirst();
  }

  /** Records when one of the team's sandboxes was used; never turns it back. */
  async touch(id: string, lastActiveAt: Date): Promise<void> {
    await this.#db
      .updateTable('sandboxes')
      .set({ last_active_at: sql<Date>`greatest(last_active_at, ${lastActiveAt}::timestamptz(3))` })
      .where('team_id', '=', this.#teamId)
      .where('id', '=', id)
      .execute();
  }

  /** Hides a sandbox that has ended already. Whether it was there to hide. */
  async hideEnded(id: string): Promise<boolean> {
    return this.#db.transaction().execute(async (transaction) => {
      await lockTeam(transaction, this.#teamId);
      const result = await transaction
        .updateTable('sandboxes')
        .set({ deleted_at: sql<Date>`now()` })
        .where('team_id', '=', this.#teamId)
        .where('id', '=', id)
        .where('state', 'in', ['stopped', 'error'])
        .where('deleted_at', 'is', null)
        .executeTakeFirst();
      const hidden = result.numUpdatedRows > 0n;
      const event = { type: 'sandbox.deleted', sandboxId: id } as const;
      if (hidden) await insertEvent(transaction, this.#teamId, this.#mover.actor, event);
      return hidden;
    });
  }

  #visible(): SelectQueryBuilder<Database, 'sandboxes', SandboxRecord> {
    return this.#db
      .selectFrom('sandboxes')
      .select(SANDBOX_COLUMNS)
      .select((select) =>
        select
          .selectFrom('hosts')
          .select('hosts.state')
          .whereRef('hosts.id', '=', 'sandboxes.host_id')
          .as('host_state'),
      )
      .where('team_id', '=', this.#teamId)
      .where(IS_VISIBLE);
  }
}
