import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EmbeddedPostgres, Store, startEmbeddedPostgres, type TeamScope } from './index.js';
import type { Database } from './schema.js';
import { SystemPrune } from './system-prune.js';

const ENDED = 20_000;
const PAGE = { limit: 10 };

let dir: string;
let database: EmbeddedPostgres;
let store: Store;
let db: Kysely<Database>;
let team: TeamScope;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'dormouse-store-'));
  await chmod(dir, 0o711);
  database = await startEmbeddedPostgres({ dir: join(dir, 'pg') });
  store = await Store.open({ databaseUrl: database.databaseUrl });
  const pool = new pg.Pool({ connectionString: database.databaseUrl });
  db = new Kysely<Database>({ dialect: new PostgresDialect({ pool }) });
  const access = { email: 'a@example.org', teamName: 't', keyName: 'k', lookup: 'a'.repeat(8) };
  team = store.forTeam(await store.system.ensureLocalAccess({ ...access, hash: 'a'.repeat(64) }));
  await store.system.upsertHost({
    id: 'here',
    agentVersion: '1',
    accelerator: 'tcg',
    cpuCount: 1,
    memoryTotalMb: 1,
  });
  await store.system.upsertHost({
    id: 'away',
    agentVersion: '1',
    accelerator: 'tcg',
    cpuCount: 1,
    memoryTotalMb: 1,
  });
  await sql`update hosts set state = 'unreachable' where id = 'away'`.execute(db);
}, 60_000);
afterAll(async () => {
  await db?.destroy();
  await store?.close();
  await database?.stop();
  await rm(dir, { recursive: true, force: true });
}, 60_000);

interface Row {
  readonly id: string;
  readonly state: string;
  readonly daysAgo: number;
  readonly deleted?: boolean;
  readonly host?: string;
  readonly parent?: string | null;
}

async function sandbox({
  id,
  state,
  daysAgo,
  deleted = true,
  host = 'here',
  parent = null,
}: Row): Promise<void> {
  await sql`insert into sandboxes (id, team_id, state, generation, template, vcpus, memory_mb, disk_mb, timeout_sec,
      on_timeout, internet, envs, metadata, host_id, parent_snapshot, state_changed_at, deleted_at)
    values (${id}, ${team.teamId}, ${state}, 1, 'base', 1, 128, 1024, 0, 'pause', true, '{}', '{}', ${host}, ${parent},
      now() - make_interval(days => ${daysAgo}::integer), ${deleted ? new Date() : null})`.execute(db);
}

async function snapshot({ id, state, daysAgo, parent = null }: Row): Promise<void> {
  await sql`insert into snapshots (id, team_id, state, name, overwrite, sandbox_id, template, vcpus, memory_mb, disk_mb,
      disk_only, parent_id, state_changed_at)
    values (${id}, ${team.teamId}, ${state}, ${id}, false, 'sb', 'base', 1, 128, 1024, false, ${parent},
      now() - make_interval(days => ${daysAgo}::integer))`.execute(db);
}

async function build(id: string, daysAgo: number, snapshotId: string | null): Promise<void> {
  await sql`insert into template_builds (id, team_id, name, recipe, state, snapshot_id, finished_at)
    values (${id}, ${team.teamId}, 'web', '{}', 'ready', ${snapshotId}, now() - make_interval(days => ${daysAgo}::integer))`.execute(
    db,
  );
  await sql`insert into template_build_logs (build_id, step, stream, text, at)
    select ${id}, 0, 'build', 'x', now() - make_interval(days => ${daysAgo}::integer) from generate_series(1, 3)`.execute(
    db,
  );
}

const id = (prefix: string, name: string) => `${prefix}${name.padEnd(20, '0')}`;
const idsOf = async (table: 'sandboxes' | 'snapshots' | 'template_builds') =>
  (await sql<{ id: string }>`select id from ${sql.table(table)} order by id`.execute(db)).rows.map(
    (row) => row.id,
  );

describe('hazard 19: what is too old to matter is removed, in batches, and nothing else', () => {
  const prune = () => new SystemPrune(db, 2);

  test('of sandboxes those that were destroyed or never came to be', async () => {
    const kept: Row[] = [
      { id: id('sb', 'recent'), state: 'stopped', daysAgo: 29 },
      { id: id('sb', 'paused'), state: 'paused', daysAgo: 99, deleted: false },
      { id: id('sb', 'disk'), state: 'stopped', daysAgo: 99, deleted: false },
      { id: id('sb', 'ending'), state: 'stopping', daysAgo: 99 },
      { id: id('sb', 'away'), state: 'error', daysAgo: 99, host: 'away' },
      { id: id('sb', 'project'), state: 'stopped', daysAgo: 99 },
    ];
    for (const row of kept) await sandbox(row);
    await sql`insert into projects (id, team_id, name, template, keep_last, workspace, timeout_sec, internet, envs,
        metadata, sandbox_id)
      values (${id('pj', 'p')}, ${team.teamId}, 'p', 'base', 1, '/', 0, true, '{}', '{}', ${id('sb', 'project')})`.execute(
      db,
    );
    for (const name of ['a', 'b', 'c']) await sandbox({ id: id('sb', name), state: 'stopped', daysAgo: 31 });
    await sandbox({ id: id('sb', 'd'), state: 'error', daysAgo: 31, deleted: false });
    expect(await prune().endedSandboxes(30)).toBe(4);
    expect(await idsOf('sandboxes')).toEqual(kept.map((row) => row.id).toSorted());
    expect(await prune().endedSandboxes(30)).toBe(0);
  });

  test('of snapshots those that nothing descends from, one generation after the other', async () => {
    const root = id('sn', 'root');
    await snapshot({ id: root, state: 'deleted', daysAgo: 99 });
    await snapshot({ id: id('sn', 'leaf'), state: 'deleted', daysAgo: 31, parent: root });
    await snapshot({ id: id('sn', 'used'), state: 'deleted', daysAgo: 99 });
    await snapshot({ id: id('sn', 'ready'), state: 'ready', daysAgo: 99 });
    await snapshot({ id: id('sn', 'recent'), state: 'deleted', daysAgo: 1 });
    await sandbox({
      id: id('sb', 'child'),
      state: 'paused',
      daysAgo: 99,
      deleted: false,
      parent: id('sn', 'used'),
    });
    expect(await prune().deletedSnapshots(30)).toBe(1);
    expect(await prune().deletedSnapshots(30)).toBe(1);
    expect(await prune().deletedSnapshots(30)).toBe(0);
    expect(await idsOf('snapshots')).toEqual([id('sn', 'ready'), id('sn', 'recent'), id('sn', 'used')]);
  });

  test('of builds those whose snapshot is gone, and all old logs', async () => {
    await build(id('tb', 'template'), 99, id('sn', 'ready'));
    await build(id('tb', 'recent'), 1, null);
    await build(id('tb', 'failed'), 31, null);
    await build(id('tb', 'replaced'), 31, id('sn', 'used'));
    expect(await prune().builds(30)).toBe(2);
    expect(await idsOf('template_builds')).toEqual([id('tb', 'recent'), id('tb', 'template')]);
    expect(await team.templateBuilds.made(id('sn', 'ready'))).toBe(true);
    expect(await prune().buildLogs(30)).toBe(3);
    expect(await team.templateBuilds.logs(id('tb', 'recent'), '0', 10)).toHaveLength(3);
  });

  test('of events and deliveries the old ones that have ended', async () => {
    for (const daysAgo of [31, 31, 31, 1]) {
      await sql`insert into events (team_id, type, actor, data, at)
        values (${team.teamId}, 'sandbox.created', 'system', '{}', now() - make_interval(days => ${daysAgo}::integer))`.execute(
        db,
      );
    }
    expect(await prune().events(30)).toBe(3);
    const { rows } = await sql<{
      id: string;
    }>`insert into webhooks (team_id, url, secret, event_types, enabled)
      values (${team.teamId}, 'http://x', 's', '{}', false) returning id`.execute(db);
    for (const state of ['delivered', 'failed', 'pending']) {
      await sql`insert into webhook_deliveries (webhook_id, event_type, state, created_at)
        values (${rows[0]!.id}::uuid, 'x', ${state}, now() - interval '31 days')`.execute(db);
    }
    expect(await prune().deliveries(30)).toBe(2);
    expect(await store.system.webhooks.countPending()).toBe(1);
  });
});

/** The statements that work sends, with their parameters. */
async function statementsOf(work: () => Promise<unknown>): Promise<{ text: string; values: unknown[] }[]> {
  const seen: { text: string; values: unknown[] }[] = [];
  const prototype = pg.Client.prototype as unknown as { query: (...args: unknown[]) => unknown };
  const original = prototype.query;
  prototype.query = function (this: unknown, ...args) {
    if (typeof args[0] === 'string') seen.push({ text: args[0], values: (args[1] ?? []) as unknown[] });
    return original.apply(this, args);
  };
  try {
    await work();
  } finally {
    prototype.query = original;
  }
  return seen;
}

describe(`hazard 19: with ${ENDED} rows that have ended`, () => {
  let admin: pg.Client;
  beforeAll(async () => {
    await sql`insert into sandboxes (id, team_id, state, generation, template, vcpus, memory_mb, disk_mb, timeout_sec,
        on_timeout, internet, envs, metadata, host_id, deleted_at)
      select 'sb' || lpad(n::text, 20, 'z'), ${team.teamId}, 'stopped', 1, 'base', 1, 128, 1024, 0, 'pause', true, '{}',
        '{}', 'here', now() from generate_series(1, ${ENDED}::integer) n`.execute(db);
    await sql`insert into snapshots (id, team_id, state, name, overwrite, sandbox_id, template, vcpus, memory_mb, disk_mb,
        disk_only)
      select 'sn' || lpad(n::text, 20, 'z'), ${team.teamId}, 'deleted', 'n' || n, false, 'sb', 'base', 1, 128, 1024,
        false from generate_series(1, ${ENDED}::integer) n`.execute(db);
    await sql`insert into template_builds (id, team_id, name, recipe, state, finished_at)
      select 'tb' || lpad(n::text, 20, 'z'), ${team.teamId}, 'web', '{}', 'failed', now()
        from generate_series(1, ${ENDED}::integer) n`.execute(db);
    await sql`analyze`.execute(db);
    admin = new pg.Client({ connectionString: database.databaseUrl });
    await admin.connect();
  }, 60_000);
  afterAll(() => admin?.end());

  test.each<[string, () => Promise<unknown>]>([
    ['a list of sandboxes', () => team.sandboxes.list(PAGE)],
    ['a list of running sandboxes', () => team.sandboxes.list({ ...PAGE, state: 'running' })],
    ['the number of sandboxes, for metrics', () => store.system.countSandboxes()],
    ['a round of the reconciler', () => store.system.sandboxesToReconcile(['sb00000000000000000001'])],
    ['a round over snapshots', () => store.system.snapshots.toReconcile(['sn00000000000000000001'])],
    ['what a team has', () => team.usage()],
    ['a list of snapshots', () => team.snapshots.list(PAGE)],
    ['a snapshot by its name', () => team.snapshots.get('kept')],
    ['builds to be taken on', () => store.system.unfinishedBuilds()],
    ['what a build has made', () => team.templateBuilds.made('sn00000000000000000001')],
    ['deliveries that wait', () => store.system.webhooks.countPending()],
  ])('%s reads none of them', async (_what, work) => {
    const statements = await statementsOf(work);
    expect(statements).toHaveLength(1);
    for (const { text, values } of statements) {
      const { rows } = await admin.query(`explain (analyze, format json) ${text}`, values);
      const plan = JSON.stringify(rows[0]);
      const read = [...plan.matchAll(/"Rows Removed by Filter":\s*(\d+)|"Actual Rows":\s*(\d+)/g)];
      const most = Math.max(0, ...read.map(([, removed, actual]) => Number(removed ?? actual)));
      expect([most < 100, most < 100 ? '' : plan]).toEqual([true, '']);
    }
  });
});
