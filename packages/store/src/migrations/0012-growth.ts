import { type Kysely, type Migration, sql } from 'kysely';

/** Rows that are looked at all the time, apart from those that have ended: these grow without bound. */
async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create index sandboxes_visible on sandboxes (team_id, created_at, id)
    where deleted_at is null or state not in ('stopped', 'error')`.execute(db);
  await sql`create index sandboxes_ended on sandboxes (state_changed_at)
    where state in ('stopped', 'error')`.execute(db);
  await sql`create index sandboxes_parent on sandboxes (parent_snapshot)
    where parent_snapshot is not null`.execute(db);
  await sql`create index snapshots_ready on snapshots (team_id, created_at, id)
    where state = 'ready'`.execute(db);
  await sql`create index snapshots_deleted on snapshots (state_changed_at)
    where state = 'deleted'`.execute(db);
  await sql`create index snapshots_parent on snapshots (parent_id) where parent_id is not null`.execute(db);
  await sql`create index projects_unfinished on projects (id)
    where pending_save_id is not null or next_sandbox_id is not null or restoring_id is not null
      or leaving_sandbox_id is not null or deleted_at is not null`.execute(db);
  await sql`create index template_builds_open on template_builds (created_at)
    where state in ('queued', 'running')`.execute(db);
  await sql`create index template_builds_finished on template_builds (finished_at)
    where finished_at is not null`.execute(db);
  await sql`create index template_builds_snapshot on template_builds (snapshot_id)
    where snapshot_id is not null`.execute(db);
  await sql`create index template_build_logs_age on template_build_logs (at)`.execute(db);
}

export const growth: Migration = { up };
