import { type Kysely, type Migration, sql } from 'kysely';

const TIMESTAMP = sql`timestamptz(3)`;
const NOW = sql`now()`;

/** Attempts of a delivery before it is given up. */
const ATTEMPTS = sql`9`;

async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('webhooks')
    .addColumn('id', 'uuid', (column) => column.primaryKey().defaultTo(sql`gen_random_uuid()`))
    .addColumn('team_id', 'uuid', (column) => column.notNull().references('teams.id').onDelete('cascade'))
    .addColumn('url', 'text', (column) => column.notNull())
    .addColumn('secret', 'text', (column) => column.notNull())
    .addColumn('event_types', sql`text[]`, (column) => column.notNull())
    .addColumn('enabled', 'boolean', (column) => column.notNull())
    .addColumn('failures', 'integer', (column) => column.notNull().defaultTo(0))
    .addColumn('created_by', 'uuid', (column) => column.references('users.id').onDelete('set null'))
    .addColumn('created_at', TIMESTAMP, (column) => column.notNull().defaultTo(NOW))
    .execute();
  await db.schema.createIndex('webhooks_team').on('webhooks').columns(['team_id', 'created_at']).execute();

  await db.schema
    .createTable('webhook_deliveries')
    .addColumn('id', 'bigint', (column) => column.primaryKey().generatedAlwaysAsIdentity())
    .addColumn('webhook_id', 'uuid', (column) =>
      column.notNull().references('webhooks.id').onDelete('cascade'),
    )
    .addColumn('event_id', 'bigint', (column) => column.references('events.id').onDelete('cascade'))
    .addColumn('event_type', 'text', (column) => column.notNull())
    .addColumn('state', 'text', (column) =>
      column.notNull().defaultTo('pending').check(sql`state in ('pending', 'delivered', 'failed')`),
    )
    .addColumn('attempts', 'integer', (column) => column.notNull().defaultTo(0))
    .addColumn('attempts_left', 'integer', (column) => column.notNull().defaultTo(ATTEMPTS))
    .addColumn('next_attempt_at', TIMESTAMP, (column) => column.notNull().defaultTo(NOW))
    .addColumn('claimed_by', 'uuid')
    .addColumn('claimed_until', TIMESTAMP)
    .addColumn('last_attempt_at', TIMESTAMP)
    .addColumn('last_status', 'integer')
    .addColumn('last_error', 'text')
    .addColumn('durations_ms', sql`integer[]`, (column) => column.notNull().defaultTo(sql`'{}'`))
    .addColumn('created_at', TIMESTAMP, (column) => column.notNull().defaultTo(NOW))
    .addUniqueConstraint('webhook_deliveries_event', ['event_id', 'webhook_id'])
    .execute();
  await sql`create index webhook_deliveries_due on webhook_deliveries (webhook_id, next_attempt_at, id)
    where state = 'pending'`.execute(db);
  await db.schema
    .createIndex('webhook_deliveries_log')
    .on('webhook_deliveries')
    .columns(['webhook_id', 'id'])
    .execute();
  await db.schema
    .createIndex('webhook_deliveries_age')
    .on('webhook_deliveries')
    .column('created_at')
    .execute();

  // In the transaction of the event, whoever writes it: exactly one delivery for each webhook that wants it. The lock
  // has a webhook that is being deleted or disabled wait for the event, or the event for that.
  await sql`
    create function deliver_event() returns trigger language plpgsql as $$
    begin
      insert into webhook_deliveries (webhook_id, event_id, event_type)
        select id, new.id, new.type from webhooks
          where team_id = new.team_id and enabled
            and (cardinality(event_types) = 0 or new.type = any(event_types))
          for share;
      return null;
    end $$`.execute(db);
  await sql`
    create trigger events_deliver after insert on events
    for each row execute function deliver_event()`.execute(db);
}

export const webhooks: Migration = { up };
