import { type Kysely, type Migration, sql } from 'kysely';

const TIMESTAMP = sql`timestamptz(3)`;
const NOW = sql`now()`;

async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('projects')
    .addColumn('id', 'text', (column) => column.primaryKey().check(sql`id ~ '^pj[a-z0-9]{20}$'`))
    .addColumn('team_id', 'uuid', (column) => column.notNull().references('teams.id'))
    .addColumn('name', 'text', (column) =>
      column.notNull().check(sql`name ~ '^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$'`),
    )
    .addColumn('template', 'text', (column) => column.notNull())
    .addColumn('keep_last', 'integer', (column) => column.notNull().check(sql`keep_last >= 1`))
    .addColumn('workspace', 'text', (column) => column.notNull())
    .addColumn('vcpus', 'integer')
    .addColumn('memory_mb', 'integer')
    .addColumn('timeout_sec', 'integer', (column) => column.notNull())
    .addColumn('internet', 'boolean', (column) => column.notNull())
    .addColumn('envs', 'jsonb', (column) => column.notNull())
    .addColumn('metadata', 'jsonb', (column) => column.notNull())
    .addColumn('sandbox_id', 'text')
    .addColumn('next_sandbox_id', 'text')
    .addColumn('head_id', 'text')
    .addColumn('pending_save_id', 'text')
    .addColumn('closing_generation', 'integer')
    .addColumn('lease', 'text')
    .addColumn('lease_until', TIMESTAMP)
    .addColumn('created_at', TIMESTAMP, (column) => column.notNull().defaultTo(NOW))
    .addColumn('opened_at', TIMESTAMP)
    .addColumn('saved_at', TIMESTAMP)
    .addColumn('deleted_at', TIMESTAMP)
    .execute();
  await sql`create unique index projects_name on projects (team_id, name) where deleted_at is null`.execute(
    db,
  );
  await db.schema
    .createIndex('projects_team')
    .on('projects')
    .columns(['team_id', 'created_at', 'id'])
    .execute();

  await db.schema
    .createTable('project_saves')
    .addColumn('id', 'text', (column) => column.primaryKey().check(sql`id ~ '^sn[a-z0-9]{20}$'`))
    .addColumn('team_id', 'uuid', (column) => column.notNull().references('teams.id'))
    .addColumn('project_id', 'text', (column) =>
      column.notNull().references('projects.id').onDelete('cascade'),
    )
    .addColumn('description', 'text')
    .addColumn('file_count', 'bigint')
    .addColumn('size_bytes', 'bigint')
    .addColumn('metadata', 'jsonb', (column) => column.notNull())
    .addColumn('pinned', 'boolean', (column) => column.notNull().defaultTo(false))
    .addColumn('created_at', TIMESTAMP, (column) => column.notNull().defaultTo(NOW))
    .execute();
  await db.schema
    .createIndex('project_saves_project')
    .on('project_saves')
    .columns(['project_id', 'created_at', 'id'])
    .execute();
}

export const projects: Migration = { up };
