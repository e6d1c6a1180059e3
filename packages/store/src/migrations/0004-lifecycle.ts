import { type Kysely, type Migration, sql } from 'kysely';

const TIMESTAMP = sql`timestamptz(3)`;
const NOW = sql`now()`;

async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('control_planes')
    .addColumn('id', 'uuid', (column) => column.primaryKey())
    .addColumn('started_at', TIMESTAMP, (column) => column.notNull().defaultTo(NOW))
    .addColumn('seen_at', TIMESTAMP, (column) => column.notNull().defaultTo(NOW))
    .execute();

  await db.schema
    .alterTable('sandboxes')
    .addColumn('moved_by', 'uuid')
    .addColumn('on_memory_loss', 'text', (column) =>
      column.notNull().defaultTo('reboot').check(sql`on_memory_loss in ('reboot', 'fail')`),
    )
    .execute();
  await db.schema.alterTable('snapshots').addColumn('moved_by', 'uuid').execute();
  await db.schema
    .alterTable('hosts')
    .addColumn('state', 'text', (column) =>
      column.notNull().defaultTo('online').check(sql`state in ('online', 'unreachable')`),
    )
    .execute();

  await db.schema
    .createTable('quotas')
    .addColumn('team_id', 'uuid', (column) => column.primaryKey().references('teams.id').onDelete('cascade'))
    .addColumn('running', 'integer', (column) => column.check(sql`running >= 0`))
    .addColumn('paused', 'integer', (column) => column.check(sql`paused >= 0`))
    .addColumn('snapshot_bytes', 'bigint', (column) => column.check(sql`snapshot_bytes >= 0`))
    .execute();

  await db.schema
    .createTable('events')
    .addColumn('id', 'bigserial', (column) => column.primaryKey())
    .addColumn('team_id', 'uuid', (column) => column.notNull().references('teams.id').onDelete('cascade'))
    .addColumn('type', 'text', (column) => column.notNull())
    .addColumn('sandbox_id', 'text')
    .addColumn('snapshot_id', 'text')
    .addColumn('actor', 'text', (column) => column.notNull())
    .addColumn('reason', 'text')
    .addColumn('data', 'jsonb', (column) => column.notNull().defaultTo(sql`'{}'::jsonb`))
    .addColumn('host_id', 'text')
    .addColumn('host_event', 'bigint')
    .addColumn('host_key', 'text')
    .addColumn('at', TIMESTAMP, (column) => column.notNull().defaultTo(NOW))
    .addUniqueConstraint('events_host_event', ['host_id', 'host_event'])
    .addUniqueConstraint('events_host_key', ['host_id', 'host_key'])
    .execute();
  await db.schema.createIndex('events_team').on('events').columns(['team_id', 'id']).execute();
  await db.schema.createIndex('events_sandbox').on('events').columns(['sandbox_id', 'id']).execute();
  await db.schema.createIndex('events_at').on('events').column('at').execute();
  // Every control plane hears of every event, whoever has written it.
  await sql`
    create function announce_event() returns trigger language plpgsql as $$
    begin
      perform pg_notify('dormouse_events', new.team_id::text);
      return null;
    end $$`.execute(db);
  await sql`
    create trigger events_announce after insert on events
    for each row execute function announce_event()`.execute(db);
}

export const lifecycle: Migration = { up };
