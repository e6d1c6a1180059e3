import { type Kysely, type Migration, sql } from 'kysely';

const TIMESTAMP = sql`timestamptz(3)`;
const NOW = sql`now()`;

async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table team_members drop constraint team_members_role_check`.execute(db);
  await sql`alter table team_members add constraint team_members_role_check
    check (role in ('owner', 'admin', 'member'))`.execute(db);

  // Keys act for whoever made them. Until now keys that were made with a key did not say who that was.
  await sql`update api_keys set user_id = (
    select user_id from team_members
      where team_members.team_id = api_keys.team_id and role = 'owner' order by created_at limit 1
    ) where user_id is null`.execute(db);
  await db.schema.createIndex('api_keys_user').on('api_keys').columns(['user_id', 'team_id']).execute();

  await db.schema
    .createTable('secrets')
    .addColumn('name', 'text', (column) => column.primaryKey())
    .addColumn('value', 'bytea', (column) => column.notNull().check(sql`octet_length(value) = 32`))
    .addColumn('created_at', TIMESTAMP, (column) => column.notNull().defaultTo(NOW))
    .execute();

  // Not logged: after a crash of the server everybody starts with an empty account, which is harmless.
  await sql`create unlogged table rate_limits (
    key text primary key,
    full_again_at timestamptz not null
  )`.execute(db);
  await db.schema.createIndex('rate_limits_age').on('rate_limits').column('full_again_at').execute();

  await db.schema
    .createTable('audit_log')
    .addColumn('id', 'bigint', (column) => column.primaryKey().generatedAlwaysAsIdentity())
    .addColumn('team_id', 'uuid', (column) => column.notNull().references('teams.id').onDelete('cascade'))
    .addColumn('created_at', TIMESTAMP, (column) => column.notNull().defaultTo(NOW))
    // No references: what was done stays on record when who did it is gone.
    .addColumn('user_id', 'uuid')
    .addColumn('api_key_id', 'uuid')
    .addColumn('actor', 'text', (column) => column.notNull())
    .addColumn('action', 'text', (column) => column.notNull())
    .addColumn('target', 'text')
    .addColumn('details', 'jsonb', (column) => column.notNull())
    .addColumn('address', 'text')
    .addColumn('request_id', 'text', (column) => column.notNull())
    .execute();
  await db.schema
    .createIndex('audit_log_team')
    .on('audit_log')
    .columns(['team_id', 'created_at', 'id'])
    .execute();
  await db.schema.createIndex('audit_log_age').on('audit_log').column('created_at').execute();
}

export const accounts: Migration = { up };
