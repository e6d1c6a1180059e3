import { type Kysely, type Migration, sql } from 'kysely';

/** What a recipe says, as far as lists show it; a recipe that says nothing has the defaults. */
interface Recipe {
  readonly from?: unknown;
  readonly steps?: unknown;
}

async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable('template_builds')
    .addColumn('from_name', 'text', (column) => column.notNull().defaultTo('base'))
    .addColumn('step_count', 'integer', (column) => column.notNull().defaultTo(0))
    .execute();
  const { rows } = await sql<{ readonly id: string }>`select id from template_builds`.execute(db);
  // Read here and one by one: recipes hold whole files, and PostgreSQL itself does not look into one with a NUL in it.
  for (const { id } of rows) {
    const found = await sql<{
      readonly recipe: Recipe;
    }>`select recipe from template_builds where id = ${id}`.execute(db);
    const { from, steps } = found.rows[0]?.recipe ?? {};
    await sql`
      update template_builds
        set from_name = ${typeof from === 'string' ? from : 'base'}, step_count = ${Array.isArray(steps) ? steps.length : 0}
        where id = ${id}`.execute(db);
  }
}

export const buildsInLists: Migration = { up };
