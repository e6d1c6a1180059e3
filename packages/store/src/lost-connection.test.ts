import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type EmbeddedPostgres, Store, startEmbeddedPostgres } from './index.js';

let dir: string;
let database: EmbeddedPostgres;
let store: Store;
let admin: pg.Client;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'dormouse-store-'));
  await chmod(dir, 0o711);
  database = await startEmbeddedPostgres({ dir: join(dir, 'pg') });
  store = await Store.open({ databaseUrl: database.databaseUrl });
  admin = new pg.Client({ connectionString: database.databaseUrl });
  await admin.connect();
}, 60_000);
afterAll(async () => {
  await admin?.end();
  await store?.close();
  await database?.stop();
  await rm(dir, { recursive: true, force: true });
}, 60_000);

test('hazard 9: a connection that is lost in the middle of a transaction fails that one, and ends no process', async () => {
  const teamId = '00000000-0000-4000-8000-000000000000';
  const uncaught: unknown[] = [];
  const onUncaught = (error: unknown): void => void uncaught.push(error);
  const before = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', onUncaught);
  try {
    await admin.query('begin');
    await admin.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [`team ${teamId}`]);
    // It waits for the lock of the team, on a connection that it has taken from the pool.
    const failing = store.forTeam(teamId).sandboxes.hideEnded('sb00000000000000000000');
    const failed = expect(failing).rejects.toThrow('terminat');
    for (let ended = 0; ended === 0; await wait(20)) {
      // Within a transaction one look at the connections is remembered.
      await admin.query('select pg_stat_clear_snapshot()');
      const { rowCount } = await admin.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'dormouse' and wait_event = 'advisory'",
      );
      ended = rowCount ?? 0;
    }
    await failed;
    await admin.query('rollback');
    await store.ping();
  } finally {
    process.off('uncaughtException', onUncaught);
    for (const listener of before) process.on('uncaughtException', listener);
  }
  expect(uncaught).toEqual([]);
});
