import { type Kysely, type Migration, Migrator, sql } from 'kysely';
import type { Database } from '../schema.js';
import { accountsAndSandboxes } from './0001-accounts-and-sandboxes.js';
import { snapshots } from './0002-snapshots.js';
import { accounts } from './0003-accounts.js';
import { lifecycle } from './0004-lifecycle.js';
import { projects } from './0005-projects.js';
import { templateBuilds } from './0006-template-builds.js';
import { webhooks } from './0007-webhooks.js';
import { cancellingBuilds } from './0008-cancelling-builds.js';
import { projectRestores } from './0009-project-restores.js';
import { deletedBy } from './0010-deleted-by.js';
import { buildsInLists } from './0011-builds-in-lists.js';
import { growth } from './0012-growth.js';

/** In the order of their names; a published one never changes. */
export const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001-accounts-and-sandboxes': accountsAndSandboxes,
  '0002-snapshots': snapshots,
  '0004-lifecycle': lifecycle,
  '0003-accounts': accounts,
  '0005-projects': projects,
  '0006-template-builds': templateBuilds,
  '0007-webhooks': webhooks,
  '0008-cancelling-builds': cancellingBuilds,
  '0009-project-restores': projectRestores,
  '0010-deleted-by': deletedBy,
  '0011-builds-in-lists': buildsInLists,
  '0012-growth': growth,
};

/** Any number that nobody else locks in this database. */
const MIGRATION_LOCK = 7_203_451_988;

/**
 * Brings the database up to date. An advisory lock around all of it lets several control planes start at once:
 * the migrator's own lock comes only after it has made its tables.
 */
export async function migrate(db: Kysely<Database>): Promise<void> {
  await db.connection().execute(async (connection) => {
    await sql`select pg_advisory_lock(${sql.lit(MIGRATION_LOCK)})`.execute(connection);
    try {
      const migrator = new Migrator({
        db,
        provider: { getMigrations: async () => ({ ...MIGRATIONS }) },
      });
      const { error } = await migrator.migrateToLatest();
      if (error !== undefined) throw error;
    } finally {
      await sql`select pg_advisory_unlock(${sql.lit(MIGRATION_LOCK)})`.execute(connection);
    }
  });
}
