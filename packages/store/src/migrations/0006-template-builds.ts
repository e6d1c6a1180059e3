import { type Kysely, type Migration, sql } from 'kysely';

const TIMESTAMP = sql`timestamptz(3)`;
const NOW = sql`now()`;

async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable('snapshots')
    .addColumn('envs', 'jsonb', (column) => column.notNull().defaultTo(sql`'{}'::jsonb`))
    .execute();

  await db.schema
    .createTable('template_builds')
    .addColumn('id', 'text', (column) => column.primaryKey().check(sql`id ~ '^tb[a-z0-9]{20}$'`))
    .addColumn('team_id', 'uuid', (column) => column.notNull().references('teams.id'))
    .addColumn('name', 'text', (column) =>
      column.notNull().check(sql`name ~ '^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$'`),
    )
    // As it was sent: files may hold what jsonb does not take.
    .addColumn('recipe', 'json', (column) => column.notNull())
    .addColumn('state', 'text', (column) =>
      column.notNull().check(sql`state in ('queued', 'running', 'ready', 'failed')`),
    )
    .addColumn('step', 'integer', (column) => column.notNull().defaultTo(0))
    .addColumn('cached_steps', 'integer', (column) => column.notNull().defaultTo(0))
    .addColumn('sandbox_id', 'text')
    .addColumn('snapshot_id', 'text')
    .addColumn('error', 'text')
    .addColumn('lease', 'text')
    .addColumn('lease_until', TIMESTAMP)
    .addColumn('created_at', TIMESTAMP, (column) => column.notNull().defaultTo(NOW))
    .addColumn('started_at', TIMESTAMP)
    .addColumn('finished_at', TIMESTAMP)
    .execute();
  await db.schema
    .createIndex('template_builds_team')
    .on('template_builds')
    .columns(['team_id', 'created_at', 'id'])
    .execute();

  await db.schema
    .createTable('template_build_logs')
    .addColumn('build_id', 'text', (column) =>
      column.notNull().references('template_builds.id').onDelete('cascade'),
    )
    .addColumn('seq', 'bigint', (column) => column.notNull().generatedAlwaysAsIdentity())
    .addColumn('step', 'integer', (column) => column.notNull())
    .addColumn('stream', 'text', (column) =>
      column.notNull().check(sql`stream in ('build', 'stdout', 'stderr')`),
    )
    .addColumn('text', 'text', (column) => column.notNull())
    .addColumn('at', TIMESTAMP, (column) => column.notNull().defaultTo(NOW))
    .addPrimaryKeyConstraint('template_build_logs_key', ['build_id', 'seq'])
    .execute();

  await db.schema
    .createTable('template_layers')
    .addColumn('team_id', 'uuid', (column) => column.notNull().references('teams.id'))
    .addColumn('key', 'text', (column) => column.notNull().check(sql`key ~ '^[0-9a-f]{64}$'`))
    .addColumn('template', 'text', (column) => column.notNull())
    .addColumn('snapshot_id', 'text', (column) => column.notNull())
    .addColumn('created_at', TIMESTAMP, (column) => column.notNull().defaultTo(NOW))
    .addPrimaryKeyConstraint('template_layers_key', ['team_id', 'template', 'key'])
    .execute();
}

export const templateBuilds: Migration = { up };
