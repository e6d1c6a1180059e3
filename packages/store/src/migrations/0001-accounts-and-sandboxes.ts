import { type Kysely, type Migration, sql } from 'kysely';

/** Milliseconds are what the API shows and pages by; finer digits would make cursors miss rows. */
const TIMESTAMP = sql`timestamptz(3)`;
const NOW = sql`now()`;

async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('users')
    .addColumn('id', 'uuid', (column) => column.primaryKey().defaultTo(sql`gen_random_uuid()`))
    .addColumn('email', 'text', (column) => column.notNull())
    .addColumn('name', 'text')
    .addColumn('password_hash', 'text')
    .addColumn('created_at', TIMESTAMP, (column) => column.notNull().defaultTo(NOW))
    .execute();
  await sql`create unique index users_email on users (lower(email))`.execute(db);

  await db.schema
    .createTable('teams')
    .addColumn('id', 'uuid', (column) => column.primaryKey().defaultTo(sql`gen_random_uuid()`))
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('created_at', TIMESTAMP, (column) => column.notNull().defaultTo(NOW))
    .execute();

  await db.schema
    .createTable('team_members')
    .addColumn('team_id', 'uuid', (column) => column.notNull().references('teams.id').onDelete('cascade'))
    .addColumn('user_id', 'uuid', (column) => column.notNull().references('users.id').onDelete('cascade'))
    .addColumn('role', 'text', (column) => column.notNull().check(sql`role in ('owner', 'member')`))
    .addColumn('created_at', TIMESTAMP, (column) => column.notNull().defaultTo(NOW))
    .addPrimaryKeyConstraint('team_members_key', ['team_id', 'user_id'])
    .execute();
  await db.schema.createIndex('team_members_user').on('team_members').column('user_id').execute();

  await db.schema
    .createTable('api_keys')
    .addColumn('id', 'uuid', (column) => column.primaryKey().defaultTo(sql`gen_random_uuid()`))
    .addColumn('team_id', 'uuid', (column) => column.notNull().references('teams.id').onDelete('cascade'))
    .addColumn('user_id', 'uuid', (column) => column.references('users.id').onDelete('set null'))
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('lookup', 'text', (column) => column.notNull().check(sql`lookup ~ '^[0-9a-f]{8}$'`))
    .addColumn('hash', 'text', (column) => column.notNull().unique().check(sql`hash ~ '^[0-9a-f]{64}$'`))
    .addColumn('created_at', TIMESTAMP, (column) => column.notNull().defaultTo(NOW))
    .addColumn('last_used_at', TIMESTAMP)
    .execute();
  await db.schema.createIndex('api_keys_lookup').on('api_keys').column('lookup').execute();
  await db.schema
    .createIndex('api_keys_team')
    .on('api_keys')
    .columns(['team_id', 'created_at', 'id'])
    .execute();

  await db.schema
    .createTable('hosts')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('agent_version', 'text', (column) => column.notNull())
    .addColumn('accelerator', 'text', (column) => column.notNull())
    .addColumn('cpu_count', 'integer', (column) => column.notNull())
    .addColumn('memory_total_mb', 'integer', (column) => column.notNull())
    .addColumn('first_seen_at', TIMESTAMP, (column) => column.notNull().defaultTo(NOW))
    .addColumn('last_seen_at', TIMESTAMP, (column) => column.notNull())
    .execute();

  await db.schema
    .createTable('templates')
    .addColumn('id', 'uuid', (column) => column.primaryKey().defaultTo(sql`gen_random_uuid()`))
    .addColumn('team_id', 'uuid', (column) => column.references('teams.id').onDelete('cascade'))
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('type', 'text', (column) => column.notNull().check(sql`type in ('base', 'snapshot')`))
    .addColumn('image_id', 'text', (column) => column.notNull())
    .addColumn('vcpus', 'integer', (column) => column.notNull())
    .addColumn('memory_mb', 'integer', (column) => column.notNull())
    .addColumn('disk_mb', 'integer', (column) => column.notNull())
    .addColumn('created_at', TIMESTAMP, (column) => column.notNull().defaultTo(NOW))
    .execute();
  await sql`create unique index templates_name on templates (team_id, name) nulls not distinct`.execute(db);

  await db.schema
    .createTable('sandboxes')
    .addColumn('id', 'text', (column) => column.primaryKey().check(sql`id ~ '^sb[a-z0-9]{20}$'`))
    .addColumn('team_id', 'uuid', (column) => column.notNull().references('teams.id'))
    .addColumn('state', 'text', (column) =>
      column
        .notNull()
        .check(
          sql`state in ('pending', 'running', 'snapshotting', 'pausing', 'paused', 'resuming', 'stopping', 'stopped', 'error')`,
        ),
    )
    .addColumn('generation', 'integer', (column) => column.notNull())
    .addColumn('reason', 'text')
    .addColumn('template', 'text', (column) => column.notNull())
    .addColumn('image_id', 'text')
    .addColumn('parent_snapshot', 'text')
    .addColumn('vcpus', 'integer', (column) => column.notNull())
    .addColumn('memory_mb', 'integer', (column) => column.notNull())
    .addColumn('disk_mb', 'integer', (column) => column.notNull())
    .addColumn('timeout_sec', 'integer', (column) => column.notNull())
    .addColumn('on_timeout', 'text', (column) => column.notNull().check(sql`on_timeout in ('pause', 'kill')`))
    .addColumn('internet', 'boolean', (column) => column.notNull())
    .addColumn('envs', 'jsonb', (column) => column.notNull())
    .addColumn('metadata', 'jsonb', (column) => column.notNull())
    .addColumn('host_id', 'text', (column) => column.references('hosts.id'))
    .addColumn('resumed_by', 'text', (column) => column.check(sql`resumed_by in ('memory', 'reboot')`))
    .addColumn('created_at', TIMESTAMP, (column) => column.notNull().defaultTo(NOW))
    .addColumn('state_changed_at', TIMESTAMP, (column) => column.notNull().defaultTo(NOW))
    .addColumn('started_at', TIMESTAMP)
    .addColumn('last_active_at', TIMESTAMP)
    .addColumn('expires_at', TIMESTAMP)
    .addColumn('paused_at', TIMESTAMP)
    .addColumn('deleted_at', TIMESTAMP)
    .execute();
  await db.schema
    .createIndex('sandboxes_team')
    .on('sandboxes')
    .columns(['team_id', 'created_at', 'id'])
    .execute();
  await sql`create index sandboxes_metadata on sandboxes using gin (metadata jsonb_path_ops)`.execute(db);
  await sql`create index sandboxes_live on sandboxes (state) where state not in ('stopped', 'error')`.execute(
    db,
  );
}

export const accountsAndSandboxes: Migration = { up };
