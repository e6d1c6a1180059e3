import type { Kysely, Migration } from 'kysely';

async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable('projects')
    .addColumn('restoring_id', 'text')
    .addColumn('leaving_sandbox_id', 'text')
    .addColumn('leaving_generation', 'integer')
    .execute();
}

export const projectRestores: Migration = { up };
