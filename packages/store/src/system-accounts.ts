import { DormouseError } from '@dormouse/errors';
import { type Kysely, type RawBuilder, type Selectable, type SelectQueryBuilder, sql } from 'kysely';
import { cutPage, decodeCursor, type Page, type PageRequest } from './cursor.js';
import type { Database, TeamRole, TeamsTable, UsersTable } from './schema.js';
import { isUuid } from './uuid.js';

/** A person. */
export type UserRecord = Readonly<Omit<Selectable<UsersTable>, 'password_hash'>>;

/** A person and what their password must fit. */
export type UserWithPassword = Readonly<Selectable<UsersTable>>;

/** A team and what somebody is in it. */
export type TeamRecord = Readonly<Selectable<TeamsTable>> & { readonly role: TeamRole };

/** A key as authentication needs it. */
export interface KeyCandidate {
  readonly id: string;
  readonly team_id: string;
  readonly user_id: string | null;
  readonly name: string;
  readonly hash: string;
  /** What the person the key acts for is in the team; null: not in it (any more). */
  readonly maker_role: TeamRole | null;
  /** `last_used_at` is so old that a use is worth a write. */
  readonly use_is_due: boolean;
}

/** How stale `last_used_at` of a key may be: not every request is worth a write. */
const LAST_USED_PRECISION_SEC = 60;

/** Whether a use of a key is worth a write. */
export const USE_IS_DUE: RawBuilder<boolean> = sql<boolean>`(last_used_at is null or last_used_at < now() - make_interval(secs => ${sql.lit(LAST_USED_PRECISION_SEC)}))`;

/** Somebody who signs up. */
export interface NewUser {
  readonly email: string;
  readonly name: string | null;
  readonly passwordHash: string;
  readonly teamName: string;
}

const USER = ['users.id', 'users.email', 'users.name', 'users.created_at'] as const;

/** Users, which teams they are in, and what authenticates them. For authentication and for a user's own affairs. */
export class SystemAccounts {
  readonly #db: Kysely<Database>;

  constructor(db: Kysely<Database>) {
    this.#db = db;
  }

  /**
   * Makes a user and the user's own team, both or neither.
   *
   * @throws DormouseError `email_taken`, also for the later one of two at the same time
   */
  async signUp({
    email,
    name,
    passwordHash,
    teamName,
  }: NewUser): Promise<{ user: UserRecord; team: TeamRecord }> {
    return this.#db.transaction().execute(async (transaction) => {
      const user = await transaction
        .insertInto('users')
        .values({ email, name, password_hash: passwordHash })
        .onConflict((conflict) => conflict.expression(sql`lower(email)`).doNothing())
        .returning(USER)
        .executeTakeFirst();
      if (user === undefined) {
        throw new DormouseError('email_taken', 'somebody has signed up with this e-mail already', {
          suggestion: 'Log in instead.',
        });
      }
      return { user, team: await insertTeam(transaction, user.id, teamName) };
    });
  }

  /** Somebody by e-mail, however its letters are written. */
  async userByEmail(email: string): Promise<UserWithPassword | undefined> {
    return this.#db
      .selectFrom('users')
      .selectAll()
      .where(sql<boolean>`lower(email) = lower(${email})`)
      .executeTakeFirst();
  }

  /** Replaces a password's hash, unless somebody else has replaced it meanwhile. */
  async replacePasswordHash(userId: string, from: string, to: string): Promise<void> {
    await this.#db
      .updateTable('users')
      .set({ password_hash: to })
      .where('id', '=', userId)
      .where('password_hash', '=', from)
      .execute();
  }

  /** A user and one of the user's teams, as they are now; undefined when the user is not in it (any more). */
  async membership(
    userId: string,
    teamId: string,
  ): Promise<{ user: UserRecord; team: TeamRecord } | undefined> {
    if (!isUuid(userId) || !isUuid(teamId)) return undefined;
    const row = await this.#db
      .selectFrom('team_members')
      .innerJoin('users', 'users.id', 'team_members.user_id')
      .innerJoin('teams', 'teams.id', 'team_members.team_id')
      .select([
        ...USER,
        'teams.id as team_id',
        'teams.name as team_name',
        'teams.created_at as team_created_at',
        'team_members.role',
      ])
      .where('team_members.user_id', '=', userId)
      .where('team_members.team_id', '=', teamId)
      .executeTakeFirst();
    if (row === undefined) return undefined;
    const { id, email, name, created_at, role } = row;
    return {
      user: { id, email, name, created_at },
      team: { id: row.team_id, name: row.team_name, created_at: row.team_created_at, role },
    };
  }

  /** The team a user begins with: the one joined first, which is the user's own while it exists. */
  async firstTeam(userId: string): Promise<TeamRecord | undefined> {
    return this.#teams(userId)
      .orderBy('team_members.created_at')
      .orderBy(sql`teams.id::text`)
      .limit(1)
      .executeTakeFirst();
  }

  /** The teams of a user, newest first. */
  async teams(userId: string, { limit, cursor }: PageRequest): Promise<Page<TeamRecord>> {
    let query = this.#teams(userId)
      .orderBy('teams.created_at', 'desc')
      .orderBy(sql`teams.id::text`, 'desc')
      .limit(limit + 1);
    if (cursor !== undefined) {
      const { createdAt, id } = decodeCursor(cursor);
      query = query.where(sql<boolean>`(teams.created_at, teams.id::text) < (${createdAt}, ${id})`);
    }
    return cutPage(await query.execute(), limit);
  }

  /**
   * Makes a team that a user owns.
   *
   * @param most teams one user may own
   * @throws DormouseError `quota_exceeded`
   */
  async createTeam(userId: string, name: string, most: number): Promise<TeamRecord> {
    return this.#db.transaction().execute(async (transaction) => {
      await transaction.selectFrom('users').select('id').where('id', '=', userId).forUpdate().execute();
      const { count } = await transaction
        .selectFrom('team_members')
        .select((select) => select.fn.countAll<string>().as('count'))
        .where('user_id', '=', userId)
        .where('role', '=', 'owner')
        .executeTakeFirstOrThrow();
      if (Number(count) >= most) throw new DormouseError('quota_exceeded', `you may own ${most} teams`);
      return insertTeam(transaction, userId, name);
    });
  }

  /** Keys that begin with these digits; the caller compares the digests. */
  async keysByLookup(lookup: string): Promise<KeyCandidate[]> {
    return this.#db
      .selectFrom('api_keys')
      .leftJoin('team_members', (join) =>
        join
          .onRef('team_members.team_id', '=', 'api_keys.team_id')
          .onRef('team_members.user_id', '=', 'api_keys.user_id'),
      )
      .select([
        'api_keys.id',
        'api_keys.team_id',
        'api_keys.user_id',
        'api_keys.name',
        'api_keys.hash',
        'team_members.role as maker_role',
        USE_IS_DUE.as('use_is_due'),
      ])
      .where('api_keys.lookup', '=', lookup)
      .execute();
  }

  /** Whether a key still is what it was: there, and its maker in the team. */
  async keyWorks(id: string): Promise<boolean> {
    const row = await this.#db
      .selectFrom('api_keys')
      .innerJoin('team_members', (join) =>
        join
          .onRef('team_members.team_id', '=', 'api_keys.team_id')
          .onRef('team_members.user_id', '=', 'api_keys.user_id'),
      )
      .select('api_keys.id')
      .where('api_keys.id', '=', id)
      .executeTakeFirst();
    return row !== undefined;
  }

  /** A secret that all control planes share: the one that is kept, else this one from now on. */
  async secret(name: string, fresh: Uint8Array): Promise<Uint8Array> {
    await this.#db
      .insertInto('secrets')
      .values({ name, value: Buffer.from(fresh) })
      .onConflict((conflict) => conflict.column('name').doNothing())
      .execute();
    const { value } = await this.#db
      .selectFrom('secrets')
      .select('value')
      .where('name', '=', name)
      .executeTakeFirstOrThrow();
    return value;
  }

  #teams(userId: string): SelectQueryBuilder<Database, 'teams' | 'team_members', TeamRecord> {
    return this.#db
      .selectFrom('team_members')
      .innerJoin('teams', 'teams.id', 'team_members.team_id')
      .select(['teams.id', 'teams.name', 'teams.created_at', 'team_members.role'])
      .where('team_members.user_id', '=', userId);
  }
}

/** A new team and its owner. */
export async function insertTeam(db: Kysely<Database>, userId: string, name: string): Promise<TeamRecord> {
  const team = await db.insertInto('teams').values({ name }).returningAll().executeTakeFirstOrThrow();
  await db.insertInto('team_members').values({ team_id: team.id, user_id: userId, role: 'owner' }).execute();
  return { ...team, role: 'owner' };
}
