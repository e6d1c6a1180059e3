import { type Kysely, type Migration, sql } from 'kysely';

const TIMESTAMP = sql`timestamptz(3)`;
const NOW = sql`now()`;

async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('snapshots')
    .addColumn('id', 'text', (column) => column.primaryKey().check(sql`id ~ '^sn[a-z0-9]{20}$'`))
    .addColumn('team_id', 'uuid', (column) => column.notNull().references('teams.id'))
    .addColumn('state', 'text', (column) =>
      column.notNull().check(sql`state in ('creating', 'ready', 'deleting', 'deleted')`),
    )
    .addColumn('name', 'text', (column) =>
      column.notNull().check(sql`name ~ '^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$'`),
    )
    .addColumn('overwrite', 'boolean', (column) => column.notNull())
    .addColumn('sandbox_id', 'text', (column) => column.notNull())
    .addColumn('template', 'text', (column) => column.notNull())
    .addColumn('image_id', 'text')
    .addColumn('vcpus', 'integer', (column) => column.notNull())
    .addColumn('memory_mb', 'integer', (column) => column.notNull())
    .addColumn('disk_mb', 'integer', (column) => column.notNull())
    .addColumn('disk_only', 'boolean', (column) => column.notNull())
    .addColumn('description', 'text')
    .addColumn('parent_id', 'text', (column) => column.references('snapshots.id'))
    .addColumn('own_bytes', 'bigint')
    .addColumn('total_bytes', 'bigint')
    .addColumn('created_at', TIMESTAMP, (column) => column.notNull().defaultTo(NOW))
    .addColumn('state_changed_at', TIMESTAMP, (column) => column.notNull().defaultTo(NOW))
    .execute();
  await sql`create unique index snapshots_name on snapshots (team_id, name) where state = 'ready'`.execute(
    db,
  );
  await db.schema
    .createIndex('snapshots_team')
    .on('snapshots')
    .columns(['team_id', 'created_at', 'id'])
    .execute();
  await sql`create index snapshots_live on snapshots (state) where state <> 'deleted'`.execute(db);
}

export const snapshots: Migration = { up };
