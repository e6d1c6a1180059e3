import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { databaseIdentity } from './database-user.js';
import { startEmbeddedPostgres } from './index.js';
import { stopStaleServer } from './stale-server.js';

let base: string;
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'dormouse-pg-'));
  await chmod(base, 0o711);
});
afterAll(() => rm(base, { recursive: true, force: true }));

async function query(databaseUrl: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

async function postmasterPid(dir: string): Promise<number> {
  return Number.parseInt(await readFile(join(dir, 'cluster', 'postmaster.pid'), 'utf8'), 10);
}

test('hazard 4: a server keeps its data over restarts, syncs it, and listens on no network', async () => {
  const dir = join(base, 'life');
  const first = await startEmbeddedPostgres({ dir });
  try {
    await query(first.databaseUrl, 'create table kept (value text)');
    await query(first.databaseUrl, "insert into kept values ('ä')");
    expect(
      await query(
        first.databaseUrl,
        "select current_setting('fsync') as fsync, current_setting('listen_addresses') as tcp, current_setting('server_encoding') as encoding",
      ),
    ).toEqual([{ fsync: 'on', tcp: '', encoding: 'UTF8' }]);
    expect((await stat(dir)).mode & 0o777).toBe(0o700);
    expect((await stat(join(dir, 'cluster'))).mode & 0o777).toBe(0o700);
    await expect(query(first.databaseUrl.replace(/:[0-9a-f]{48}@/, ':wrong@'), 'select 1')).rejects.toThrow(
      'password authentication failed',
    );
    await expect(startEmbeddedPostgres({ dir })).rejects.toThrow(
      expect.objectContaining({
        code: 'already_running',
        message: `another Dormouse is running the database in ${dir}`,
      }),
    );
  } finally {
    await first.stop();
  }
  await first.ended;
  const second = await startEmbeddedPostgres({ dir });
  try {
    expect(second.databaseUrl).toBe(first.databaseUrl);
    expect(await query(second.databaseUrl, 'select value from kept')).toEqual([{ value: 'ä' }]);
  } finally {
    await second.stop();
  }
});

test('hazard 9: a server that was left running is stopped cleanly, and its data is there', async () => {
  const dir = join(base, 'stale');
  const first = await startEmbeddedPostgres({ dir });
  await query(first.databaseUrl, 'create table kept (value int)');
  const pid = await postmasterPid(dir);
  await stopStaleServer(join(dir, 'cluster'), join(dir, 'run', '.s.PGSQL.5432'));
  await first.ended;
  expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  await first.stop();
  const second = await startEmbeddedPostgres({ dir });
  expect(await query(second.databaseUrl, 'select count(*)::int as n from kept')).toEqual([{ n: 0 }]);
  await second.stop();
});

test('hazard 9: files that name somebody else as the server are removed, and nobody is harmed', async () => {
  const dir = join(base, 'foreign');
  await (await startEmbeddedPostgres({ dir })).stop();
  // Of the database's own user: of others PostgreSQL itself knows that they are none of its servers.
  const identity = await databaseIdentity();
  const bystander: ChildProcess = spawn('sleep', ['60'], { ...identity, cwd: '/', stdio: 'ignore' });
  try {
    const pidFile = join(dir, 'cluster', 'postmaster.pid');
    const lock = join(dir, 'run', '.s.PGSQL.5432.lock');
    for (const path of [pidFile, lock]) await writeFile(path, `${bystander.pid}\n${join(dir, 'cluster')}\n`);
    await (await startEmbeddedPostgres({ dir })).stop();
    expect([bystander.exitCode, bystander.signalCode]).toEqual([null, null]);
  } finally {
    bystander.kill();
    await once(bystander, 'exit');
  }
});

test('hazard 16: a half-made cluster is cleared away and made anew', async () => {
  const dir = join(base, 'half');
  await mkdir(join(dir, 'cluster.new-deadbeef', 'base'), { recursive: true });
  const server = await startEmbeddedPostgres({ dir });
  await server.stop();
  expect((await readdir(dir)).sort()).toEqual(['cluster', 'run']);
});

test('a path that is too long for a socket is refused before anything is made there', async () => {
  const dir = join(base, 'x'.repeat(100));
  const path = join(dir, 'run', '.s.PGSQL.5432');
  await expect(startEmbeddedPostgres({ dir })).rejects.toThrow(
    expect.objectContaining({
      code: 'invalid_request',
      message: `the database's socket ${path} is ${Buffer.byteLength(path)} bytes long, and Linux allows 107`,
    }),
  );
  expect(await readdir(dir)).toEqual([]);
});

test('a directory that holds something else is left alone', async () => {
  const dir = join(base, 'somebody');
  await mkdir(dir);
  await writeFile(join(dir, 'thesis.tex'), '');
  await expect(startEmbeddedPostgres({ dir })).rejects.toThrow(
    `${dir} holds thesis.tex, which is no part of a database`,
  );
});

test.runIf(process.getuid?.() === 0)(
  'as root, a directory that the database user cannot reach is named',
  async () => {
    const closed = join(base, 'closed');
    await mkdir(closed, { mode: 0o700 });
    await expect(startEmbeddedPostgres({ dir: join(closed, 'pg') })).rejects.toThrow(
      expect.objectContaining({
        code: 'not_permitted',
        message: `the database runs as the user dormouse-db, who may not pass ${closed} on the way to ${join(closed, 'pg')}`,
        suggestion: `Run \`chmod o+x ${closed}\`, or choose a data directory such as /var/lib/dormouse.`,
      }),
    );
  },
);
