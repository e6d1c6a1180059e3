import { DormouseError } from '@dormouse/errors';
import { type Kysely, type Selectable, sql } from 'kysely';
import { cutPage, decodeCursor, type Page, type PageRequest } from './cursor.js';
import type { ApiKeysTable, Database } from './schema.js';
import { isUuid } from './uuid.js';

/** An API key as it is stored. */
export type ApiKeyRecord = Readonly<Selectable<ApiKeysTable>>;

/** A key to keep: never the key itself. */
export interface NewApiKeyRecord {
  /** For whom it acts. */
  readonly userId: string;
  readonly name: string;
  readonly lookup: string;
  readonly hash: string;
}

/** The API keys of one team. */
export class TeamApiKeys {
  readonly #db: Kysely<Database>;
  readonly #teamId: string;

  constructor(db: Kysely<Database>, teamId: string) {
    this.#db = db;
    this.#teamId = teamId;
  }

  /**
   * Records a key of a member, whose keys go when the member does.
   *
   * @throws DormouseError `forbidden` for somebody who is no member (any more)
   */
  async insert({ userId, name, lookup, hash }: NewApiKeyRecord): Promise<ApiKeyRecord> {
    return this.#db.transaction().execute(async (transaction) => {
      // Who removes a member holds this row until the keys of that member are gone as well.
      await transaction.selectFrom('teams').select('id').where('id', '=', this.#teamId).forShare().execute();
      const member = await transaction
        .selectFrom('team_members')
        .select('user_id')
        .where('team_id', '=', this.#teamId)
        .where('user_id', '=', userId)
        .executeTakeFirst();
      if (member === undefined)
        throw new DormouseError('forbidden', 'only members of a team make keys of it');
      return transaction
        .insertInto('api_keys')
        .values({ team_id: this.#teamId, user_id: userId, name, lookup, hash })
        .returningAll()
        .executeTakeFirstOrThrow();
    });
  }

  /** Newest first. */
  async list(page: PageRequest): Promise<Page<ApiKeyRecord>> {
    let query = this.#db
      .selectFrom('api_keys')
      .selectAll()
      .where('team_id', '=', this.#teamId)
      .orderBy('created_at', 'desc')
      .orderBy(sql`id::text`, 'desc')
      .limit(page.limit + 1);
    if (page.cursor !== undefined) {
      const { createdAt, id } = decodeCursor(page.cursor);
      query = query.where(sql<boolean>`(created_at, id::text) < (${createdAt}, ${id})`);
    }
    return cutPage(await query.execute(), page.limit);
  }

  /**
   * Whether it was there to delete.
   *
   * @param makerId only where it acts for this user; undefined: whoever it acts for
   */
  async delete(id: string, makerId?: string): Promise<boolean> {
    if (!isUuid(id)) return false;
    let query = this.#db.deleteFrom('api_keys').where('team_id', '=', this.#teamId).where('id', '=', id);
    if (makerId !== undefined) query = query.where('user_id', '=', makerId);
    const result = await query.executeTakeFirst();
    return result.numDeletedRows > 0n;
  }
}
