import { DormouseError } from '@dormouse/errors';
import { type Kysely, type Selectable, sql } from 'kysely';
import { cutPage, decodeCursor, type Page, type PageRequest } from './cursor.js';
import type { AuditDetails, AuditLogTable, Database } from './schema.js';

/** Something that was done. */
export type AuditRecord = Readonly<Selectable<AuditLogTable>>;

/** Something that was just done. */
export interface NewAuditRecord {
  readonly userId: string | null;
  readonly apiKeyId: string | null;
  /** The user's e-mail or the key's name. */
  readonly actor: string;
  readonly action: string;
  readonly target: string | null;
  readonly details: AuditDetails;
  readonly address: string | null;
  readonly requestId: string;
}

/** Which records of a team. */
export interface AuditFilter extends PageRequest {
  readonly action?: string | undefined;
  readonly target?: string | undefined;
}

/** As many digits as fit into PostgreSQL's bigint whatever they are. */
const ID_PATTERN = /^\d{1,18}$/;

/** What was done in one team. Only ever added to. */
export class TeamAudit {
  readonly #db: Kysely<Database>;
  readonly #teamId: string;

  constructor(db: Kysely<Database>, teamId: string) {
    this.#db = db;
    this.#teamId = teamId;
  }

  async append(record: NewAuditRecord): Promise<void> {
    await this.#db
      .insertInto('audit_log')
      .values({
        team_id: this.#teamId,
        user_id: record.userId,
        api_key_id: record.apiKeyId,
        actor: record.actor,
        action: record.action,
        target: record.target,
        details: JSON.stringify(record.details),
        address: record.address,
        request_id: record.requestId,
      })
      .execute();
  }

  /** Newest first. */
  async list({ limit, cursor, action, target }: AuditFilter): Promise<Page<AuditRecord>> {
    let query = this.#db
      .selectFrom('audit_log')
      .selectAll()
      .where('team_id', '=', this.#teamId)
      .orderBy('created_at', 'desc')
      .orderBy('id', 'desc')
      .limit(limit + 1);
    if (action !== undefined) query = query.where('action', '=', action);
    if (target !== undefined) query = query.where('target', '=', target);
    if (cursor !== undefined) {
      const { createdAt, id } = decodeCursor(cursor);
      if (!ID_PATTERN.test(id)) {
        throw new DormouseError('invalid_request', 'cursor: must be the next_cursor of an earlier page');
      }
      query = query.where(sql<boolean>`(created_at, id) < (${createdAt}, ${id}::bigint)`);
    }
    return cutPage(await query.execute(), limit);
  }
}
