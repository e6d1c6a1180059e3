import { DormouseError } from '@dormouse/errors';
import { type Kysely, type SelectQueryBuilder, sql, type Transaction } from 'kysely';
import { cutPage, decodeCursor, type Page, type PageRequest } from './cursor.js';
import type { Database, TeamRole } from './schema.js';
import { isUuid } from './uuid.js';

/** A person in a team. */
export interface MemberRecord {
  /** The user's. */
  readonly id: string;
  readonly email: string;
  readonly name: string | null;
  readonly role: TeamRole;
  /** When the person joined. */
  readonly created_at: Date;
}

/**
 * Decides whether a change may be made, by what the member is at that very moment.
 *
 * @throws whatever says why not
 */
export type MemberRule = (member: MemberRecord) => void;

/** The people of one team. One change at a time, so that two owners cannot remove each other. */
export class TeamMembers {
  readonly #db: Kysely<Database>;
  readonly #teamId: string;

  constructor(db: Kysely<Database>, teamId: string) {
    this.#db = db;
    this.#teamId = teamId;
  }

  /** Who joined last comes first. */
  async list({ limit, cursor }: PageRequest): Promise<Page<MemberRecord>> {
    let query = this.#members(this.#db)
      .orderBy('team_members.created_at', 'desc')
      .orderBy(sql`users.id::text`, 'desc')
      .limit(limit + 1);
    if (cursor !== undefined) {
      const { createdAt, id } = decodeCursor(cursor);
      query = query.where(sql<boolean>`(team_members.created_at, users.id::text) < (${createdAt}, ${id})`);
    }
    return cutPage(await query.execute(), limit);
  }

  /**
   * Adds somebody who has signed up.
   *
   * @param most members the team may have
   * @throws DormouseError `not_found`, `already_exists` or `quota_exceeded`
   */
  async add(email: string, role: TeamRole, most: number): Promise<MemberRecord> {
    return this.#alone(async (transaction) => {
      const user = await transaction
        .selectFrom('users')
        .select('id')
        .where(sql<boolean>`lower(email) = lower(${email})`)
        .executeTakeFirst();
      if (user === undefined) {
        throw new DormouseError('not_found', `nobody has signed up as ${email}`, {
          suggestion: 'They sign up first, then you add them.',
        });
      }
      const { count } = await transaction
        .selectFrom('team_members')
        .select((select) => select.fn.countAll<string>().as('count'))
        .where('team_id', '=', this.#teamId)
        .executeTakeFirstOrThrow();
      if (Number(count) >= most) {
        throw new DormouseError('quota_exceeded', `a team may have ${most} members`);
      }
      const added = await transaction
        .insertInto('team_members')
        .values({ team_id: this.#teamId, user_id: user.id, role })
        .onConflict((conflict) => conflict.doNothing())
        .returning('user_id')
        .executeTakeFirst();
      if (added === undefined) throw new DormouseError('already_exists', `${email} is in the team already`);
      return (await this.#find(transaction, user.id))!;
    });
  }

  /**
   * Gives a member another role.
   *
   * @returns undefined when there is no such member
   * @throws DormouseError `invalid_state` where nobody would be owner any more, or what the rule throws
   */
  async setRole(userId: string, role: TeamRole, rule: MemberRule): Promise<MemberRecord | undefined> {
    return this.#alone(async (transaction) => {
      const member = await this.#find(transaction, userId);
      if (member === undefined) return undefined;
      rule(member);
      if (role !== 'owner') await this.#keepAnOwner(transaction, member);
      await transaction
        .updateTable('team_members')
        .set({ role })
        .where('team_id', '=', this.#teamId)
        .where('user_id', '=', member.id)
        .execute();
      return { ...member, role };
    });
  }

  /**
   * Takes a member out of the team, together with the keys that act for them.
   *
   * @returns undefined when there is no such member
   * @throws DormouseError `invalid_state` for the last owner, or what the rule throws
   */
  async remove(userId: string, rule: MemberRule): Promise<MemberRecord | undefined> {
    return this.#alone(async (transaction) => {
      const member = await this.#find(transaction, userId);
      if (member === undefined) return undefined;
      rule(member);
      await this.#keepAnOwner(transaction, member);
      for (const table of ['api_keys', 'team_members'] as const) {
        await transaction
          .deleteFrom(table)
          .where('team_id', '=', this.#teamId)
          .where('user_id', '=', member.id)
          .execute();
      }
      return member;
    });
  }

  async #keepAnOwner(transaction: Transaction<Database>, member: MemberRecord): Promise<void> {
    if (member.role !== 'owner') return;
    const other = await transaction
      .selectFrom('team_members')
      .select('user_id')
      .where('team_id', '=', this.#teamId)
      .where('role', '=', 'owner')
      .where('user_id', '<>', member.id)
      .executeTakeFirst();
    if (other === undefined) {
      throw new DormouseError('invalid_state', 'a team has at least one owner, and this is the last one', {
        suggestion: 'Make somebody else owner first.',
      });
    }
  }

  async #find(db: Kysely<Database>, userId: string): Promise<MemberRecord | undefined> {
    if (!isUuid(userId)) return undefined;
    return this.#members(db).where('team_members.user_id', '=', userId).executeTakeFirst();
  }

  /** Changes of one team wait for each other. */
  async #alone<T>(work: (transaction: Transaction<Database>) => Promise<T>): Promise<T> {
    return this.#db.transaction().execute(async (transaction) => {
      await transaction.selectFrom('teams').select('id').where('id', '=', this.#teamId).forUpdate().execute();
      return work(transaction);
    });
  }

  #members(db: Kysely<Database>): SelectQueryBuilder<Database, 'team_members' | 'users', MemberRecord> {
    return db
      .selectFrom('team_members')
      .innerJoin('users', 'users.id', 'team_members.user_id')
      .select(['users.id', 'users.email', 'users.name', 'team_members.role', 'team_members.created_at'])
      .where('team_members.team_id', '=', this.#teamId);
  }
}
