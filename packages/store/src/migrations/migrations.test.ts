import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Kysely, Migrator, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type EmbeddedPostgres, Store, startEmbeddedPostgres } from '../index.js';
import type { Database } from '../schema.js';
import { MIGRATIONS } from './index.js';

/** The last one of the first published version. */
const FIRST_PUBLISHED = '0008-cancelling-builds';

/** As it was sent: with a NUL, which PostgreSQL has in no text. */
const RECIPE = JSON.stringify({
  from: 'node',
  steps: [{ type: 'copy', path: '/a', content: 'a\0b' }, { type: 'run' }],
});

let dir: string;
let database: EmbeddedPostgres;
let db: Kysely<Database>;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'dormouse-store-'));
  await chmod(dir, 0o711);
  database = await startEmbeddedPostgres({ dir: join(dir, 'pg') });
  const pool = new pg.Pool({ connectionString: database.databaseUrl });
  db = new Kysely<Database>({ dialect: new PostgresDialect({ pool }) });
}, 60_000);
afterAll(async () => {
  await db?.destroy();
  await database?.stop();
  await rm(dir, { recursive: true, force: true });
}, 60_000);

test('hazard 5: a database of the first published version keeps everything when it is opened', async () => {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => ({ ...MIGRATIONS }) } });
  const { error } = await migrator.migrateTo(FIRST_PUBLISHED);
  expect(error).toBeUndefined();
  const { rows } = await sql<{ id: string }>`insert into teams (name) values ('old') returning id`.execute(
    db,
  );
  const teamId = rows[0]!.id;
  await sql`insert into sandboxes (id, team_id, state, generation, template, vcpus, memory_mb, disk_mb,
      timeout_sec, on_timeout, internet, envs, metadata)
    values ('sb00000000000000000001', ${teamId}, 'paused', 3, 'base', 1, 128, 1024, 0, 'pause', true,
      '{"A":"b"}', '{}')`.execute(db);
  await sql`insert into snapshots (id, team_id, state, name, overwrite, sandbox_id, template, vcpus, memory_mb,
      disk_mb, disk_only, own_bytes, total_bytes)
    values ('sn00000000000000000001', ${teamId}, 'ready', 'thesis-1', false, 'sb00000000000000000001', 'base', 1,
      128, 1024, false, 1, 2)`.execute(db);
  await sql`insert into projects (id, team_id, name, template, keep_last, workspace, timeout_sec, internet, envs,
      metadata, sandbox_id, head_id)
    values ('pj00000000000000000001', ${teamId}, 'thesis', 'base', 10, '/home/user', 0, true, '{}', '{}',
      'sb00000000000000000001', 'sn00000000000000000001')`.execute(db);
  await sql`insert into project_saves (id, team_id, project_id, metadata, pinned)
    values ('sn00000000000000000001', ${teamId}, 'pj00000000000000000001', '{}', true)`.execute(db);
  await sql`insert into template_builds (id, team_id, name, recipe, state, snapshot_id)
    values ('tb00000000000000000001', ${teamId}, 'web', ${RECIPE}, 'ready', 'sn00000000000000000001')`.execute(
    db,
  );

  // A migration takes as long as it takes, however short the statements of requests must be.
  const holder = new pg.Client({ connectionString: database.databaseUrl });
  await holder.connect();
  await holder.query('begin; lock table projects in access exclusive mode');
  const opening = Store.open({ databaseUrl: database.databaseUrl, statementTimeoutMs: 200 });
  opening.catch(() => undefined);
  await holder.query('select pg_sleep(0.6)');
  await holder.query('commit');
  await holder.end();
  const store = await opening;
  const team = store.forTeam(teamId);
  expect(await team.sandboxes.get('sb00000000000000000001')).toMatchObject({
    state: 'paused',
  });
  expect(await team.sandboxes.envsOf('sb00000000000000000001')).toEqual({ A: 'b' });
  expect(await team.snapshots.get('thesis-1')).toMatchObject({
    id: 'sn00000000000000000001',
    own_bytes: '1',
  });
  expect(await team.projects.get('thesis')).toMatchObject({
    head_id: 'sn00000000000000000001',
    sandbox_state: 'paused',
    restoring_id: null,
    leaving_sandbox_id: null,
  });
  expect(await team.projectSaves.all('pj00000000000000000001')).toMatchObject([{ pinned: true }]);
  expect(await team.templateBuilds.get('tb00000000000000000001')).toMatchObject({
    from_name: 'node',
    step_count: 2,
  });
  expect(await team.templateBuilds.made('sn00000000000000000001')).toBe(true);
  expect(await store.system.projects.unfinished()).toEqual([]);
  await store.close();
  // Opened again there is nothing to do.
  await (await Store.open({ databaseUrl: database.databaseUrl })).close();
});
