import { type Kysely, type Migration, sql } from 'kysely';

async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable('template_builds')
    .addColumn('cancel_requested', 'boolean', (column) => column.notNull().defaultTo(false))
    .execute();
  await sql`alter table template_builds drop constraint template_builds_state_check`.execute(db);
  await sql`alter table template_builds add constraint template_builds_state_check
    check (state in ('queued', 'running', 'ready', 'failed', 'cancelled'))`.execute(db);
}

export const cancellingBuilds: Migration = { up };
