import type { Kysely, Migration } from 'kysely';

async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('sandboxes').addColumn('deleted_by', 'text').execute();
}

export const deletedBy: Migration = { up };
