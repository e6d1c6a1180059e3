import { type Kysely, type Selectable, sql } from 'kysely';
import { columns } from './columns.js';
import { cutPage, decodeCursor, type Page, type PageRequest } from './cursor.js';
import type { BuildState, Database, TemplateBuildLogsTable, TemplateBuildsTable } from './schema.js';

type BuildColumn = Exclude<keyof TemplateBuildsTable, 'recipe'>;

/** All but the recipe, which holds whole files and is needed by whoever builds it alone: see `claim`. */
const BUILD_COLUMNS: readonly BuildColumn[] = columns<BuildColumn>({
  id: true,
  team_id: true,
  name: true,
  from_name: true,
  step_count: true,
  state: true,
  cancel_requested: true,
  step: true,
  cached_steps: true,
  sandbox_id: true,
  snapshot_id: true,
  error: true,
  lease: true,
  lease_until: true,
  created_at: true,
  started_at: true,
  finished_at: true,
});

/** A build of a template as it is stored, without its recipe. */
export type BuildRecord = Readonly<Pick<Selectable<TemplateBuildsTable>, BuildColumn>>;

/** A build in the hands of whoever has claimed it. */
export type ClaimedBuild = BuildRecord & Pick<Selectable<TemplateBuildsTable>, 'recipe'>;

/** Something that a build has said. */
export type BuildLogRecord = Readonly<Selectable<TemplateBuildLogsTable>>;

/** What is known of a build before it begins. */
export interface NewBuild {
  readonly id: string;
  readonly name: string;
  readonly recipe: object;
  /** What it begins with, and how many steps it has, as the recipe says. */
  readonly from: string;
  readonly stepCount: number;
}

/** What changes about a build while somebody holds its lease. What is left out stays. */
export interface BuildChanges {
  readonly state?: BuildState;
  readonly step?: number;
  readonly cachedSteps?: number;
  readonly sandboxId?: string | null;
  readonly snapshotId?: string | null;
  readonly error?: string;
}

/** An entry of a log that is about to be written. */
export interface NewBuildLog {
  readonly step: number;
  readonly stream: 'build' | 'stdout' | 'stderr';
  readonly text: string;
}

/** Who is building, as long as the database's clock says so. */
interface Lease {
  readonly token: string;
  readonly ms: number;
}

/** The builds of one team's templates, their logs, and the moments after steps that later builds begin with. */
export class TeamTemplateBuilds {
  readonly #db: Kysely<Database>;
  readonly #teamId: string;

  constructor(db: Kysely<Database>, teamId: string) {
    this.#db = db;
    this.#teamId = teamId;
  }

  async get(id: string): Promise<BuildRecord | undefined> {
    return this.#db
      .selectFrom('template_builds')
      .select(BUILD_COLUMNS)
      .where('team_id', '=', this.#teamId)
      .where('id', '=', id)
      .executeTakeFirst();
  }

  /** Newest first. */
  async list(page: PageRequest): Promise<Page<BuildRecord>> {
    let query = this.#db
      .selectFrom('template_builds')
      .select(BUILD_COLUMNS)
      .where('team_id', '=', this.#teamId)
      .orderBy('created_at', 'desc')
      .orderBy('id', 'desc')
      .limit(page.limit + 1);
    if (page.cursor !== undefined) {
      const { createdAt, id } = decodeCursor(page.cursor);
      query = query.where(sql<boolean>`(created_at, id) < (${createdAt}, ${id})`);
    }
    return cutPage(await query.execute(), page.limit);
  }

  async insert(build: NewBuild): Promise<BuildRecord> {
    return this.#db
      .insertInto('template_builds')
      .values({
        id: build.id,
        team_id: this.#teamId,
        name: build.name,
        recipe: JSON.stringify(build.recipe),
        from_name: build.from,
        step_count: build.stepCount,
        state: 'queued',
      })
      .returning(BUILD_COLUMNS)
      .executeTakeFirstOrThrow();
  }

  /** Whether a snapshot is what a build ended with. */
  async made(snapshotId: string): Promise<boolean> {
    const row = await this.#db
      .selectFrom('template_builds')
      .select('id')
      .where('team_id', '=', this.#teamId)
      .where('snapshot_id', '=', snapshotId)
      .executeTakeFirst();
    return row !== undefined;
  }

  /** Takes the lease of a build that is not done and that nobody holds. */
  async claim(id: string, { token, ms }: Lease): Promise<ClaimedBuild | undefined> {
    return this.#db
      .updateTable('template_builds')
      .set({
        state: 'running',
        started_at: sql<Date>`coalesce(started_at, now())`,
        lease: token,
        lease_until: sql<Date>`now() + make_interval(secs => ${ms / 1000})`,
      })
      .where('team_id', '=', this.#teamId)
      .where('id', '=', id)
      .where('state', 'in', ['queued', 'running'])
      .where((where) => where.or([where('lease', 'is', null), where('lease_until', '<', sql<Date>`now()`)]))
      .returning([...BUILD_COLUMNS, 'recipe'])
      .executeTakeFirst();
  }

  /**
   * Asks for the end of a build: one that waits is `cancelled` at once, one that somebody is at when they see it.
   *
   * @returns the build as it is then; undefined when it is done, or not the team's
   */
  async cancel(id: string): Promise<BuildRecord | undefined> {
    return this.#db
      .updateTable('template_builds')
      .set({
        cancel_requested: true,
        state: sql<BuildState>`case when state = 'queued' then 'cancelled' else state end`,
        finished_at: sql<Date>`case when state = 'queued' then now() end`,
      })
      .where('team_id', '=', this.#teamId)
      .where('id', '=', id)
      .where('state', 'in', ['queued', 'running'])
      .returning(BUILD_COLUMNS)
      .executeTakeFirst();
  }

  /** Makes a lease last longer. Answers the build, when the lease is still the asker's. */
  async renew(id: string, { token, ms }: Lease): Promise<BuildRecord | undefined> {
    return this.#db
      .updateTable('template_builds')
      .set({ lease_until: sql<Date>`now() + make_interval(secs => ${ms / 1000})` })
      .where('team_id', '=', this.#teamId)
      .where('id', '=', id)
      .where('lease', '=', token)
      .returning(BUILD_COLUMNS)
      .executeTakeFirst();
  }

  /** Gives a lease back. */
  async release(id: string, token: string): Promise<void> {
    await this.#db
      .updateTable('template_builds')
      .set({ lease: null, lease_until: null })
      .where('team_id', '=', this.#teamId)
      .where('id', '=', id)
      .where('lease', '=', token)
      .execute();
  }

  /** Changes a build; undefined when the lease is another's by now. */
  async change(id: string, token: string, changes: BuildChanges): Promise<BuildRecord | undefined> {
    const done = changes.state !== undefined && !['queued', 'running'].includes(changes.state);
    return this.#db
      .updateTable('template_builds')
      .set({
        lease: token,
        ...(changes.state === undefined ? {} : { state: changes.state }),
        ...(changes.step === undefined ? {} : { step: changes.step }),
        ...(changes.cachedSteps === undefined ? {} : { cached_steps: changes.cachedSteps }),
        ...(changes.sandboxId === undefined ? {} : { sandbox_id: changes.sandboxId }),
        ...(changes.snapshotId === undefined ? {} : { snapshot_id: changes.snapshotId }),
        ...(changes.error === undefined ? {} : { error: changes.error }),
        ...(done ? { finished_at: sql<Date>`now()` } : {}),
      })
      .where('team_id', '=', this.#teamId)
      .where('id', '=', id)
      .where('lease', '=', token)
      .returning(BUILD_COLUMNS)
      .executeTakeFirst();
  }

  /** Writes what a build of the team says, in this order. */
  async log(id: string, entries: readonly NewBuildLog[]): Promise<void> {
    if (entries.length === 0 || (await this.get(id)) === undefined) return;
    await this.#db
      .insertInto('template_build_logs')
      .values(entries.map((entry) => ({ build_id: id, ...entry })))
      .execute();
  }

  /** What a build has said after the entry of this number, oldest first. */
  async logs(id: string, after: string, limit: number): Promise<BuildLogRecord[]> {
    return this.#db
      .selectFrom('template_build_logs')
      .selectAll()
      .where('build_id', '=', id)
      .where((where) =>
        where.exists(
          where
            .selectFrom('template_builds')
            .select('id')
            .where('template_builds.id', '=', id)
            .where('team_id', '=', this.#teamId),
        ),
      )
      .where('seq', '>', after)
      .orderBy('seq')
      .limit(limit)
      .execute();
  }

  /** The snapshot after the steps of this hash; undefined: they have to be done. */
  async layer(template: string, key: string): Promise<string | undefined> {
    const row = await this.#db
      .selectFrom('template_layers')
      .innerJoin('snapshots', 'snapshots.id', 'template_layers.snapshot_id')
      .select('snapshots.id')
      .where('template_layers.team_id', '=', this.#teamId)
      .where('template_layers.template', '=', template)
      .where('template_layers.key', '=', key)
      .where('snapshots.state', '=', 'ready')
      .executeTakeFirst();
    return row?.id;
  }

  /**
   * Remembers the snapshot after the steps of this hash.
   *
   * @returns the one that was remembered before, which nobody refers to as a layer any more
   */
  async keepLayer(template: string, key: string, snapshotId: string): Promise<string | undefined> {
    return this.#db.transaction().execute(async (transaction) => {
      const before = await this.#layers(transaction, template)
        .where('key', '=', key)
        .forUpdate()
        .executeTakeFirst();
      await transaction
        .insertInto('template_layers')
        .values({ team_id: this.#teamId, template, key, snapshot_id: snapshotId })
        .onConflict((conflict) =>
          conflict.columns(['team_id', 'template', 'key']).doUpdateSet({ snapshot_id: snapshotId }),
        )
        .execute();
      return before?.snapshot_id;
    });
  }

  /** Snapshots of the layers of a template, by the hash of their steps. */
  async layers(template: string): Promise<readonly { readonly key: string; readonly snapshot_id: string }[]> {
    return this.#layers(this.#db, template).execute();
  }

  /** Forgets a layer, if it still has this snapshot. */
  async forgetLayer(template: string, key: string, snapshotId: string): Promise<void> {
    await this.#db
      .deleteFrom('template_layers')
      .where('team_id', '=', this.#teamId)
      .where('template', '=', template)
      .where('key', '=', key)
      .where('snapshot_id', '=', snapshotId)
      .execute();
  }

  #layers(db: Kysely<Database>, template: string) {
    return db
      .selectFrom('template_layers')
      .select(['key', 'snapshot_id'])
      .where('team_id', '=', this.#teamId)
      .where('template', '=', template);
  }
}
