import { type Kysely, type SelectQueryBuilder, sql, type Transaction } from 'kysely';
import { cutPage, decodeCursor, type Page, type PageRequest } from './cursor.js';
import { insertEvent, lockTeam } from './events.js';
import { IS_READY } from './hot-rows.js';
import type { Mover } from './mover.js';
import { assertRoom } from './quotas.js';
import type { Database } from './schema.js';
import { assertMayTakeName } from './snapshot-name.js';
import {
  type NewSnapshot,
  SNAPSHOT_COLUMNS,
  type SnapshotAncestor,
  type SnapshotRecord,
  type SnapshotSize,
} from './snapshot-record.js';

/**
 * How many ancestors are told: a project that is closed and opened every day descends from all its days, and a list
 * must not grow with the square of them.
 */
export const MAX_ANCESTORS = 100;

/** A snapshot that has become ready, and the one that had its name until then. */
export interface CommittedSnapshot {
  readonly snapshot: SnapshotRecord;
  /** Now `deleting`: the host is still to be told. */
  readonly replaced: SnapshotRecord | undefined;
}

/** The snapshots of one team. Only those that are ready are there for it. */
export class TeamSnapshots {
  readonly #db: Kysely<Database>;
  readonly #teamId: string;
  readonly #mover: Mover;

  constructor(db: Kysely<Database>, teamId: string, mover: Mover) {
    this.#db = db;
    this.#teamId = teamId;
    this.#mover = mover;
  }

  /** A snapshot by its name or its id, or undefined: not there, another team's and deleted are the same. */
  async get(nameOrId: string): Promise<SnapshotRecord | undefined> {
    return this.#ready()
      .where((where) => where.or([where('name', '=', nameOrId), where('id', '=', nameOrId)]))
      .executeTakeFirst();
  }

  /** The environment of what begins with a snapshot. Deleted ones still say what descends from them. */
  async envsOf(id: string): Promise<Readonly<Record<string, string>>> {
    return this.#envsOf(this.#db, id);
  }

  /** Newest first. */
  async list(page: PageRequest): Promise<Page<SnapshotRecord>> {
    let query = this.#ready()
      .orderBy('created_at', 'desc')
      .orderBy('id', 'desc')
      .limit(page.limit + 1);
    if (page.cursor !== undefined) {
      const { createdAt, id } = decodeCursor(page.cursor);
      query = query.where(sql<boolean>`(created_at, id) < (${createdAt}, ${id})`);
    }
    return cutPage(await query.execute(), page.limit);
  }

  /** What each of these snapshots descends from, the nearest first, deleted ones included; the nearest hundred. */
  async ancestors(ids: readonly string[]): Promise<ReadonlyMap<string, readonly SnapshotAncestor[]>> {
    const { rows } = await sql<SnapshotAncestor & { readonly descendant: string }>`
      with recursive line (descendant, id, depth) as (
        select id, parent_id, 1 from snapshots where team_id = ${this.#teamId} and id = any(${ids})
        union all
        select line.descendant, snapshots.parent_id, line.depth + 1
          from line join snapshots on snapshots.id = line.id and snapshots.team_id = ${this.#teamId}
          where line.depth < ${sql.lit(MAX_ANCESTORS)}
      )
      select line.descendant, snapshots.id, snapshots.name, snapshots.state
        from line join snapshots on snapshots.id = line.id and snapshots.team_id = ${this.#teamId}
        order by line.descendant, line.depth`.execute(this.#db);
    const lines = new Map<string, SnapshotAncestor[]>(ids.map((id) => [id, []]));
    for (const { descendant, ...snapshot } of rows) lines.get(descendant)?.push(snapshot);
    return lines;
  }

  /**
   * Records a snapshot that is about to be taken.
   *
   * @throws DormouseError `already_exists` when the name is another's and may not be taken from it, `quota_exceeded`
   */
  async insert(snapshot: NewSnapshot): Promise<SnapshotRecord> {
    return this.#locked(async (transaction) => {
      await assertRoom(transaction, this.#teamId, this.#mover.quotas, 'snapshotBytes');
      const holder = await transaction
        .selectFrom('snapshots')
        .select('id')
        .where('team_id', '=', this.#teamId)
        .where('name', '=', snapshot.name)
        .where('state', 'in', snapshot.overwrite ? ['ready'] : ['creating', 'ready'])
        .executeTakeFirst();
      if (holder !== undefined) await assertMayTakeName(transaction, this.#teamId, snapshot, holder.id);
      const envs = snapshot.envs ?? (await this.#envsOf(transaction, snapshot.parentId));
      return transaction
        .insertInto('snapshots')
        .values({
          id: snapshot.id,
          team_id: this.#teamId,
          state: 'creating',
          name: snapshot.name,
          overwrite: snapshot.overwrite,
          sandbox_id: snapshot.sandboxId,
          template: snapshot.template,
          image_id: snapshot.imageId,
          vcpus: snapshot.vcpus,
          memory_mb: snapshot.memoryMb,
          disk_mb: snapshot.diskMb,
          disk_only: snapshot.diskOnly,
          description: snapshot.description,
          parent_id: snapshot.parentId,
          moved_by: this.#mover.processId,
          envs: JSON.stringify(envs),
        })
        .returning(SNAPSHOT_COLUMNS)
        .executeTakeFirstOrThrow();
    });
  }

  /**
   * Makes a snapshot that the host has committed ready under its name, in one step with taking the name from the
   * one that had it.
   *
   * @returns undefined when it was not being created (any more)
   * @throws DormouseError `already_exists` when the name is another's and may not be taken from it
   */
  async commit(
    wanted: Pick<SnapshotRecord, 'id' | 'name' | 'overwrite'>,
    made: SnapshotSize & { readonly diskOnly: boolean },
  ): Promise<CommittedSnapshot | undefined> {
    const { id, name } = wanted;
    return this.#locked(async (transaction) => {
      const now = sql<Date>`now()`;
      const replaced = await transaction
        .updateTable('snapshots')
        .set({ state: 'deleting', state_changed_at: now })
        .where('team_id', '=', this.#teamId)
        .where('name', '=', name)
        .where('state', '=', 'ready')
        .where(
          sql<boolean>`exists (select from snapshots new where new.id = ${id} and new.state = 'creating')`,
        )
        .returning(SNAPSHOT_COLUMNS)
        .executeTakeFirst();
      // Refusing rolls back what has just been marked.
      if (replaced !== undefined) await assertMayTakeName(transaction, this.#teamId, wanted, replaced.id);
      const snapshot = await transaction
        .updateTable('snapshots')
        .set({
          state: 'ready',
          state_changed_at: now,
          own_bytes: made.ownBytes,
          total_bytes: made.totalBytes,
          disk_only: made.diskOnly,
        })
        .where('team_id', '=', this.#teamId)
        .where('id', '=', id)
        .where('state', '=', 'creating')
        .returning(SNAPSHOT_COLUMNS)
        .executeTakeFirst();
      if (snapshot === undefined) return undefined;
      if (replaced !== undefined) await this.#tell(transaction, 'snapshot.deleted', replaced);
      await this.#tell(transaction, 'snapshot.created', snapshot);
      return { snapshot, replaced };
    });
  }

  /** Marks a snapshot, by name or id, as to be deleted; undefined when there is none. Its name is free at once. */
  async beginDeleting(nameOrId: string): Promise<SnapshotRecord | undefined> {
    return this.#locked(async (transaction) => {
      const snapshot = await transaction
        .updateTable('snapshots')
        .set({ state: 'deleting', state_changed_at: sql<Date>`now()` })
        .where('team_id', '=', this.#teamId)
        .where('state', '=', 'ready')
        .where((where) => where.or([where('name', '=', nameOrId), where('id', '=', nameOrId)]))
        .returning(SNAPSHOT_COLUMNS)
        .executeTakeFirst();
      if (snapshot !== undefined) await this.#tell(transaction, 'snapshot.deleted', snapshot);
      return snapshot;
    });
  }

  /** Marks a snapshot that did not come about as to be deleted. */
  async giveUp(id: string): Promise<SnapshotRecord | undefined> {
    return this.#db
      .updateTable('snapshots')
      .set({ state: 'deleting', state_changed_at: sql<Date>`now()` })
      .where('team_id', '=', this.#teamId)
      .where('id', '=', id)
      .where('state', '=', 'creating')
      .returning(SNAPSHOT_COLUMNS)
      .executeTakeFirst();
  }

  async #envsOf(db: Kysely<Database>, id: string | null): Promise<Readonly<Record<string, string>>> {
    if (id === null) return {};
    const row = await db
      .selectFrom('snapshots')
      .select('envs')
      .where('team_id', '=', this.#teamId)
      .where('id', '=', id)
      .executeTakeFirst();
    return row?.envs ?? {};
  }

  /** Two that want the same name, or what is left of a quota, wait for each other. */
  async #locked<T>(work: (transaction: Transaction<Database>) => Promise<T>): Promise<T> {
    return this.#db.transaction().execute(async (transaction) => {
      await lockTeam(transaction, this.#teamId);
      return work(transaction);
    });
  }

  async #tell(
    transaction: Transaction<Database>,
    type: 'snapshot.created' | 'snapshot.deleted',
    { id, name, sandbox_id }: SnapshotRecord,
  ): Promise<void> {
    const event = { type, snapshotId: id, sandboxId: sandbox_id, data: { name } };
    await insertEvent(transaction, this.#teamId, this.#mover.actor, event);
  }

  #ready(): SelectQueryBuilder<Database, 'snapshots', SnapshotRecord> {
    return this.#db
      .selectFrom('snapshots')
      .select(SNAPSHOT_COLUMNS)
      .where('team_id', '=', this.#teamId)
      .where(IS_READY);
  }
}
