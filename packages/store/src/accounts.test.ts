import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type EmbeddedPostgres,
  Store,
  startEmbeddedPostgres,
  type TeamRecord,
  type UserRecord,
} from './index.js';
import { accountsAndSandboxes } from './migrations/0001-accounts-and-sandboxes.js';
import { snapshots } from './migrations/0002-snapshots.js';
import { accounts } from './migrations/0003-accounts.js';
import type { Database } from './schema.js';

let dir: string;
let database: EmbeddedPostgres;
let store: Store;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'dormouse-accounts-'));
  await chmod(dir, 0o711);
  database = await startEmbeddedPostgres({ dir: join(dir, 'pg') });
  store = await Store.open({ databaseUrl: database.databaseUrl });
}, 60_000);
afterAll(async () => {
  await store?.close();
  await database?.stop();
  await rm(dir, { recursive: true, force: true });
}, 60_000);

let people = 0;
function person(): Promise<{ user: UserRecord; team: TeamRecord }> {
  people += 1;
  return store.system.accounts.signUp({
    email: `p${people}@example.org`,
    name: null,
    passwordHash: 'hash',
    teamName: `team ${people}`,
  });
}

const anything = () => undefined;

describe('rate limits', () => {
  const limit = { limit: 5, windowSec: 3600 };

  test('of a hundred at the same time, over several connections, exactly as many succeed as may', async () => {
    const second = await Store.open({ databaseUrl: database.databaseUrl });
    const verdicts = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        (index % 2 === 0 ? store : second).system.rateLimits.take('crowd', limit),
      ),
    );
    await second.close();
    expect(verdicts.filter(({ allowed }) => allowed)).toHaveLength(5);
    for (const { allowed, retryAfterSec } of verdicts) {
      if (allowed) expect(retryAfterSec).toBe(0);
      else expect(retryAfterSec).toBeGreaterThanOrEqual(1);
    }
  });

  test('come back evenly, and tell when', async () => {
    const { rateLimits } = store.system;
    const quick = { limit: 2, windowSec: 2 };
    expect(await rateLimits.take('even', quick)).toEqual({ allowed: true, retryAfterSec: 0 });
    expect(await rateLimits.take('even', quick)).toEqual({ allowed: true, retryAfterSec: 0 });
    expect(await rateLimits.take('even', quick)).toEqual({ allowed: false, retryAfterSec: 1 });
    await wait(1050);
    expect((await rateLimits.take('even', quick)).allowed).toBe(true);
    expect((await rateLimits.take('even', quick)).allowed).toBe(false);
    await rateLimits.forget('even');
    expect((await rateLimits.take('even', quick)).allowed).toBe(true);
  });

  test('are swept when they are full again', async () => {
    const { rateLimits } = store.system;
    await rateLimits.take('short', { limit: 100, windowSec: 1 });
    await rateLimits.take('long', limit);
    await wait(50);
    expect(await rateLimits.sweep()).toBe(1);
    expect(await rateLimits.sweep()).toBe(0);
    expect((await rateLimits.take('long', { limit: 1, windowSec: 3600 })).allowed).toBe(false);
  });
});

describe('members', () => {
  test('two owners cannot remove each other at the same time', async () => {
    for (let round = 0; round < 10; round++) {
      const [one, two] = [await person(), await person()];
      const { members } = store.forTeam(one.team.id);
      await members.add(two.user.email, 'owner', 10);
      const outcomes = await Promise.allSettled([
        members.remove(one.user.id, anything),
        members.setRole(two.user.id, 'member', anything),
      ]);
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      const owners = (await members.list({ limit: 10 })).items.filter(({ role }) => role === 'owner');
      expect(owners).toHaveLength(1);
    }
  });

  test('who is removed takes their keys along, those of others stay', async () => {
    const [one, two] = [await person(), await person()];
    const team = store.forTeam(one.team.id);
    await team.members.add(two.user.email, 'member', 10);
    await team.apiKeys.insert({
      userId: one.user.id,
      name: 'stays',
      lookup: 'a'.repeat(8),
      hash: 'a'.repeat(64),
    });
    const { id } = await team.apiKeys.insert({
      userId: two.user.id,
      name: 'goes',
      lookup: 'b'.repeat(8),
      hash: 'b'.repeat(64),
    });
    const { accounts } = store.system;
    expect(await accounts.keyWorks(id)).toBe(true);
    expect(await team.members.remove(two.user.id, anything)).toMatchObject({ id: two.user.id });
    expect((await team.apiKeys.list({ limit: 10 })).items.map(({ name }) => name)).toEqual(['stays']);
    expect(await accounts.keyWorks(id)).toBe(false);
    expect(await accounts.membership(two.user.id, one.team.id)).toBeUndefined();
  });

  test('there are no more than may be, and each is there once', async () => {
    const [one, two, three] = [await person(), await person(), await person()];
    const { members } = store.forTeam(one.team.id);
    await members.add(two.user.email.toUpperCase(), 'member', 2);
    await expect(members.add(two.user.email, 'member', 3)).rejects.toMatchObject({ code: 'already_exists' });
    await expect(members.add(three.user.email, 'member', 2)).rejects.toMatchObject({
      code: 'quota_exceeded',
    });
    await expect(members.add('nobody@example.org', 'member', 9)).rejects.toMatchObject({ code: 'not_found' });
  });

  test('hazard 14: are found in their own team only', async () => {
    const [one, two] = [await person(), await person()];
    const { members } = store.forTeam(one.team.id);
    expect(await members.setRole(two.user.id, 'member', anything)).toBeUndefined();
    expect(await members.remove(two.user.id, anything)).toBeUndefined();
    expect(await members.remove('no uuid', anything)).toBeUndefined();
    expect((await members.list({ limit: 10 })).items.map(({ id }) => id)).toEqual([one.user.id]);
  });

  test('one may own so many teams, also when several are made at once', async () => {
    const { user } = await person();
    const made = await Promise.allSettled(
      Array.from({ length: 5 }, (_, index) => store.system.accounts.createTeam(user.id, `t${index}`, 3)),
    );
    expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(2);
    const first = await store.system.accounts.teams(user.id, { limit: 2 });
    const rest = await store.system.accounts.teams(user.id, { limit: 2, cursor: first.nextCursor ?? '' });
    expect([...first.items, ...rest.items]).toHaveLength(3);
    expect(rest.nextCursor).toBeNull();
  });
});

test('hazard 14: a key that is made while its maker is taken out of the team does not stay', async () => {
  const { user: owner, team } = await person();
  const { user: maker } = await person();
  const { members, apiKeys } = store.forTeam(team.id);
  await members.add(maker.email, 'admin', 10);
  const made: Promise<unknown>[] = [];
  const digest = { lookup: 'e'.repeat(8), hash: 'e'.repeat(64) };
  await members.remove(maker.id, () => {
    made.push(apiKeys.insert({ userId: maker.id, name: 'late', ...digest }).catch((error: unknown) => error));
  });
  expect(await made[0]).toMatchObject({ code: 'forbidden' });
  expect((await apiKeys.list({ limit: 9 })).items).toEqual([]);
  expect(await apiKeys.insert({ userId: owner.id, name: 'own', ...digest })).toMatchObject({ name: 'own' });
});

describe('the migration to accounts', () => {
  test('has keys of before act for the owner of their team, and lets the old roles be', async () => {
    const name = 'before_accounts';
    const client = new pg.Client(database.databaseUrl);
    await client.connect();
    await client.query(`create database ${name}`);
    await client.end();
    const url = database.databaseUrl.replace('/dormouse?', `/${name}?`);
    expect(url).not.toBe(database.databaseUrl);
    const pool = new pg.Pool({ connectionString: url });
    const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool }) });
    try {
      await accountsAndSandboxes.up(db);
      await snapshots.up(db);
      const { id: team_id } = await db
        .insertInto('teams')
        .values({ name: 'old' })
        .returning('id')
        .executeTakeFirstOrThrow();
      const { id: owner } = await db
        .insertInto('users')
        .values({ email: 'owner@example.org' })
        .returning('id')
        .executeTakeFirstOrThrow();
      const { id: member } = await db
        .insertInto('users')
        .values({ email: 'member@example.org' })
        .returning('id')
        .executeTakeFirstOrThrow();
      await db
        .insertInto('team_members')
        .values([
          { team_id, user_id: member, role: 'member' },
          { team_id, user_id: owner, role: 'owner' },
        ])
        .execute();
      const key = (digit: string, user_id: string | null) => ({
        team_id,
        user_id,
        name: digit,
        lookup: digit.repeat(8),
        hash: digit.repeat(64),
      });
      await db
        .insertInto('api_keys')
        .values([key('1', null), key('2', member)])
        .execute();

      await accounts.up(db);
      const keys = await db.selectFrom('api_keys').select(['name', 'user_id']).orderBy('name').execute();
      expect(keys).toEqual([
        { name: '1', user_id: owner },
        { name: '2', user_id: member },
      ]);
      await db.updateTable('team_members').set({ role: 'admin' }).where('user_id', '=', member).execute();
      const king = db.updateTable('team_members').set({ role: 'king' as 'owner' });
      await expect(king.execute()).rejects.toThrow('team_members_role_check');
    } finally {
      await db.destroy();
    }
  });

  test('the local key works again when its person has been taken out of every team', async () => {
    const access = {
      email: 'local@localhost',
      teamName: 'default',
      keyName: 'file',
      lookup: 'c'.repeat(8),
      hash: 'c'.repeat(64),
    };
    const first = await store.system.ensureLocalAccess(access);
    const { members } = store.forTeam(first);
    const local = (await members.list({ limit: 1 })).items[0]!;
    await members.add((await person()).user.email, 'owner', 10);
    await members.remove(local.id, anything);
    const second = await store.system.ensureLocalAccess(access);
    expect(second).not.toBe(first);
    const [candidate] = await store.system.accounts.keysByLookup(access.lookup);
    expect(candidate).toMatchObject({ team_id: second, user_id: local.id, maker_role: 'owner' });
  });
});

describe('the audit log', () => {
  const record = {
    userId: null,
    apiKeyId: null,
    actor: 'ada@example.org',
    target: 'sb1',
    details: { role: 'admin', made: ['a', 'b'] },
    address: '192.0.2.1',
    requestId: 'req_1',
  };

  test('is paged, filtered, and never another team’s', async () => {
    const { team } = await person();
    const { audit } = store.forTeam(team.id);
    for (const action of ['one', 'two', 'three']) await audit.append({ ...record, action });
    const first = await audit.list({ limit: 2 });
    const rest = await audit.list({ limit: 2, cursor: first.nextCursor ?? '' });
    expect([...first.items, ...rest.items].map(({ action }) => action)).toEqual(['three', 'two', 'one']);
    expect(rest.nextCursor).toBeNull();
    expect(first.items[0]).toMatchObject({ actor: record.actor, details: record.details, target: 'sb1' });
    expect((await audit.list({ limit: 9, action: 'two' })).items).toHaveLength(1);
    expect((await audit.list({ limit: 9, target: 'sb2' })).items).toHaveLength(0);
    expect((await store.forTeam((await person()).team.id).audit.list({ limit: 9 })).items).toEqual([]);
    const foreign = Buffer.from('1.abc').toString('base64url');
    await expect(audit.list({ limit: 9, cursor: foreign })).rejects.toMatchObject({
      code: 'invalid_request',
    });
  });

  test('is kept as long as it is to be kept', async () => {
    const { team } = await person();
    const { audit } = store.forTeam(team.id);
    await audit.append({ ...record, action: 'recent' });
    expect(await store.system.sweepAudit(1)).toBe(0);
    await wait(5);
    expect(await store.system.sweepAudit(0)).toBeGreaterThan(0);
    expect((await audit.list({ limit: 9 })).items).toEqual([]);
  });
});
